"""What every recogniser, mind and voice owes, as checks that anybody can run on a plug-in of their own.

    python -m server --contract tts:my_voice --vendor my_voice.stand_in:Server

    suite ──▶ bench ──▶ plug-in ──its own client──▶ vendor's stand-in (behaves as a check wants it to)
      │         └─ leftovers, heartbeat: what it leaves behind, whether the event loop stood still
      └─ ears, mind, voice: the three Protocols        refusals, streams: what a vendor may do to them

It needs nothing but the product itself: no test runner, no network, no key.
"""
