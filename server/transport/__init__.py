"""How a call finds its way through the network, stays on it, and leaves nothing behind."""
