"""Sound and pictures of a call: packets in and out, without waiting for anything."""
