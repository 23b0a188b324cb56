"""What an attacker, a broken client or a bad day may send: made from what real clients send."""
