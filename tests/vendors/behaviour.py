"""How a vendor's server on 127.0.0.1 behaves, whatever it speaks: in time, late, broken, wrong."""

from pipeline.contract.vendor import Behaviour, Outcome, paced

__all__ = ["Behaviour", "Outcome", "paced"]
