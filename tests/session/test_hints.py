"""What a call tells its recogniser beforehand."""

from __future__ import annotations

import pytest

from tests.session.call import Call, Ears, Mind, Voice, speech


@pytest.mark.parametrize(("mode", "told"), [("interview", True), ("chat", False)])
def test_the_recogniser_is_told_the_terms_of_the_interviews_topic(mode: str, told: bool) -> None:
    ears = Ears([["i would use kubernetes"]])
    said = speech(300, "i would use kubernetes")
    Call(ears, Mind(["Why?"]), Voice(), said, mode=mode, topic="cloud_devops").run(4000)
    assert [("kubernetes" in hints) for hints in ears.told] == [told]
