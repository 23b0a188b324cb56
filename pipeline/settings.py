"""Every knob of the conversation, frozen and typed; `server.config` fills it from config.toml.

Units are in the names. The defaults here and those in config.toml are the same: a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

Mode = Literal["interview", "language", "chat"]
Language = Literal["en", "es", "fr", "de", "zh", "hi", "ja", "ko", "pt", "ar", "ru", "it", "nl"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSettings(Section):
    aggressiveness: int = Field(1, ge=0, le=3)  # webrtcvad's mode
    voiced_ms: int = Field(60, ge=20, le=500)  # of the last window_ms by webrtcvad, to open
    window_ms: int = Field(100, ge=40, le=1000)
    confirm: float = Field(0.5, gt=0, lt=1)  # Silero's probability that confirms an opening
    keep: float = Field(0.35, gt=0, lt=1)  # and above which it still is speech
    preroll_ms: int = Field(300, ge=0, le=1000)


class PatienceSettings(Section):
    """Where thinking is part of the exercise."""

    complete_ms: int = Field(1000, ge=100, le=10_000)
    neutral_ms: int = Field(1600, ge=100, le=10_000)
    hanging_ms: int = Field(3000, ge=100, le=20_000)


class ChatPatienceSettings(PatienceSettings):
    complete_ms: int = Field(240, ge=100, le=10_000)
    neutral_ms: int = Field(700, ge=100, le=10_000)
    hanging_ms: int = Field(1800, ge=100, le=20_000)


class TurnSettings(Section):
    short_pause_ms: int = Field(100, ge=40, le=1000)
    chat: ChatPatienceSettings = ChatPatienceSettings()
    interview: PatienceSettings = PatienceSettings()
    language: PatienceSettings = PatienceSettings()
    duck_db: float = Field(-18.0, le=0, ge=-60)
    mute_after_ms: int = Field(240, ge=60, le=2000)  # of voice over a reply
    interrupt_after_ms: int = Field(700, ge=100, le=5000)  # of voice over a reply, whatever is said
    withdraw_within_ms: int = Field(600, ge=0, le=3000)  # after a reply began; 0 switches it off
    withdraw_voice_ms: int = Field(120, ge=40, le=1000)
    longest_utterance_s: int = Field(180, ge=5, le=1800)
    silence_fed_after_ms: int = Field(100, ge=40, le=2000)  # without packets from the microphone
    think_ms: int = Field(20_000, ge=1000, le=600_000)  # what "let me think" adds
    no_words_after_ms: int = Field(8_000, ge=500, le=60_000)  # the recogniser gives nothing
    filler_after_ms: int = Field(6_000, ge=500, le=60_000)  # the mind does not start
    apology_after_ms: int = Field(20_000, ge=1000, le=120_000)
    nudges: int = Field(2, ge=0, le=5)  # "take your time" at most so often when nobody speaks; 0: never
    speculate: bool = True  # prepare a reply while the pause is still judged
    echo_guard: bool = True  # take our own voice out of the microphone, where it comes back


def _names(given: Any) -> Any:
    listed = given if isinstance(given, list | tuple) else [given]
    if not listed or not all(isinstance(name, str) and name for name in listed):
        raise PydanticCustomError("provider", 'write "auto", a name, or a list of names')
    if listed is given and "auto" in listed:
        raise PydanticCustomError("provider", 'a list names what is taken in turn; "auto" makes its own')
    if len(set(listed)) < len(listed):
        raise PydanticCustomError("provider", "this names one twice")
    return given


# "auto"; the name of a plug-in; or several, of which each stands in for those before it
ProviderNames = Annotated[str | tuple[str, ...], BeforeValidator(_names)]


class PocketsphinxSettings(Section):
    at_once: int = Field(8, ge=1, le=64)  # utterances decoded at a time, each in a small process; more wait
    full_pass: bool = True


class FasterWhisperSettings(Section):
    model: str = ""  # a folder with a CTranslate2 model, or a name such as "small" (fetched at first use)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "default"  # of CTranslate2; default: int8 on a CPU, that of the weights on a GPU
    threads: int = Field(0, ge=0, le=64)  # of one batch; 0: half of the processors, 4 at most
    workers: int = Field(0, ge=0, le=64)  # batches at once; 0: what the processors allow, one on a GPU
    beam_size: int = Field(1, ge=1, le=10)
    window_s: int = Field(0, ge=0, le=30)  # it looks at multiples of; 0: what fits on a CPU, 30 on a GPU
    batch: int = Field(8, ge=1, le=64)  # utterances in one, at most
    detect_language: bool = False  # what is spoken decides, where the model is sure, not the call's language


class OpenAISttSettings(Section):
    model: str = "whisper-1"
    base_url: str = ""  # "": OPENAI_BASE_URL or OpenAI itself
    timeout_s: float = Field(20.0, gt=0)


class LiveSettings(Section):
    """Of a vendor that hears over a WebSocket while a person speaks."""

    base_url: str = ""  # "": the vendor itself
    timeout_s: float = Field(10.0, gt=0)
    keep_s: float = Field(60.0, ge=0)  # a connection waits so long for the next utterance; 0: not


class DeepgramSettings(LiveSettings):
    model: str = "nova-3"
    detect_language: bool = False  # what is spoken decides, also within a sentence, not the call's language
    mip_opt_out: bool = False  # what is said may not be kept to improve its models; costs more


class AssemblyAISettings(LiveSettings):
    """Connections are charged for by the time that they are open, so also while they wait."""

    model: str = ""  # "": universal-streaming-english or -multilingual, as the language demands


class SttSettings(Section):
    provider: ProviderNames = "auto"
    pocketsphinx: PocketsphinxSettings = PocketsphinxSettings()
    faster_whisper: FasterWhisperSettings = FasterWhisperSettings()
    openai: OpenAISttSettings = OpenAISttSettings()
    deepgram: DeepgramSettings = DeepgramSettings()
    assemblyai: AssemblyAISettings = AssemblyAISettings()


class OpenAILlmSettings(Section):
    model: str = "gpt-4o-mini"
    base_url: str = ""
    timeout_s: float = Field(30.0, gt=0)


class LocalLlmSettings(Section):
    """A server on this machine that is found by itself."""

    # where Ollama, LM Studio, vLLM and llama.cpp usually are; (): nothing is looked for
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = (11434, 1234, 8000, 8080)
    within_ms: int = Field(300, ge=10, le=10_000)  # for all of them to answer
    look_again_s: float = Field(10.0, ge=0, le=3600)  # while none is there; 0: only at the start
    model: str = ""  # "": llm.openai.model where it is there, else the first that can talk
    timeout_s: float = Field(30.0, gt=0)


class ScriptedSettings(Section):
    questions: int = Field(8, ge=1, le=60)  # main questions in an interview


class LlmSettings(Section):
    provider: ProviderNames = "auto"
    temperature: float = Field(0.9, ge=0, le=2)
    max_tokens_interview: int = Field(300, ge=1, le=8000)
    max_tokens: int = Field(150, ge=1, le=8000)
    history_messages: int = Field(20, ge=2, le=400)
    history_tokens: int = Field(6000, ge=500, le=1_000_000)
    notes_tokens: int = Field(300, ge=0, le=4000)  # of what is known beyond the history; 0: nothing is
    openai: OpenAILlmSettings = OpenAILlmSettings()
    local: LocalLlmSettings = LocalLlmSettings()
    scripted: ScriptedSettings = ScriptedSettings()


class EspeakSettings(Section):
    words_per_minute: int = Field(165, ge=80, le=450)


class PiperSettings(Section):
    folder: str = ""  # with voices, each a file .onnx and beside it a .onnx.json; "": not used
    voices: dict[str, str] = Field(default_factory=dict)  # persona's id -> a file's name without .onnx
    threads: int = Field(2, ge=1, le=64)  # of one phrase
    in_memory: int = Field(4, ge=1, le=64)  # voices, of 60 to 120 MB each


class OpenAITtsSettings(Section):
    model: str = "gpt-4o-mini-tts"
    base_url: str = ""
    timeout_s: float = Field(20.0, gt=0)
    format: Literal["pcm", "wav", "mp3"] = "pcm"  # that is asked for; what comes is recognised
    pcm_rate: int = Field(24_000, ge=8000, le=48_000)  # Hz, of "pcm", which does not say it itself
    instructions: bool = True  # how to speak is told to models that take it
    voices: dict[str, str] = Field(default_factory=dict)  # persona's id -> the server's name of a voice


class ElevenLabsSettings(Section):
    model: str = "eleven_flash_v2_5"
    base_url: str = Field("https://api.elevenlabs.io", pattern="^https?://")
    timeout_s: float = Field(10.0, gt=0)
    stability: float = Field(0.5, ge=0, le=1)  # low: livelier; high: more even
    similarity_boost: float = Field(0.75, ge=0, le=1)
    voices: dict[str, str] = Field(default_factory=dict)  # persona's id -> the id of a voice


class TtsCacheSettings(Section):
    """Our own fixed phrases in a hosted voice, kept on disk: a question asked daily is paid for once."""

    mib: int = Field(200, ge=0, le=100_000)  # MiB, about 3 s of speech each 0.14; 0: nothing is kept
    folder: str = ""  # "": viva/voices in the user's folder for caches


class TtsSettings(Section):
    provider: ProviderNames = "auto"
    espeak: EspeakSettings = EspeakSettings()
    piper: PiperSettings = PiperSettings()
    openai: OpenAITtsSettings = OpenAITtsSettings()
    elevenlabs: ElevenLabsSettings = ElevenLabsSettings()
    cache: TtsCacheSettings = TtsCacheSettings()


class ChainSettings(Section):
    """When a provider that others stand in for is too late, and how long it is left alone once it fails."""

    stt_late_ms: int = Field(600, ge=100, le=30_000)  # after a pause, without a final transcript
    llm_late_ms: int = Field(600, ge=100, le=30_000)  # without a first token, or the next one
    tts_late_ms: int = Field(600, ge=100, le=30_000)  # without a first sound, or the next one
    untried_late_ms: int = Field(4000, ge=100, le=60_000)  # of one that has not shown yet how fast it is
    failures: int = Field(2, ge=1, le=20)  # in a row, then it is left alone
    cool_down_s: float = Field(15.0, gt=0, le=3600)  # then one request tries it again
    cool_down_growth: float = Field(2.0, ge=1, le=10)  # times the cool-down before, if that one failed too
    longest_cool_down_s: float = Field(300.0, gt=0, le=86_400)
    refused_s: float = Field(900.0, gt=0, le=86_400)  # where its key or model is refused


class ToolSettings(Section):
    """Python functions of the server's own that a mind may call, see `pipeline.toolbox`."""

    functions: tuple[str, ...] = ()  # "package.module:function"
    timeout_s: float = Field(10.0, gt=0, le=600)
    timeouts_s: dict[str, float] = Field(default_factory=dict)  # of single ones, by name
    rounds: int = Field(4, ge=1, le=20)  # of calls in one reply


class Secrets(Section):
    """From the environment or .env only. Printing one shows asterisks."""

    openai_api_key: SecretStr | None = None
    deepgram_api_key: SecretStr | None = None
    assemblyai_api_key: SecretStr | None = None
    elevenlabs_api_key: SecretStr | None = None
    openai_base_url: str | None = None  # OPENAI_BASE_URL; not a secret, but comes the same way


class LocalServer(Section):
    """A server with language models that was found on this machine."""

    kind: str  # for a person, e.g. "Ollama"
    port: int  # of 127.0.0.1
    models: tuple[str, ...]  # that can talk, in its own order
    contexts: dict[str, int] = Field(default_factory=dict)  # tokens that they read at once, where it says so
    slots: int = 0  # conversations that llama.cpp reads side by side; 0: it is another

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"http://{self.address}/v1"


class Settings(Section):
    """Everything the pipeline may know. One object for the whole process."""

    gate: GateSettings = GateSettings()
    turns: TurnSettings = TurnSettings()
    stt: SttSettings = SttSettings()
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    chain: ChainSettings = ChainSettings()
    tools: ToolSettings = ToolSettings()
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)  # of others' plug-ins, by name
    secrets: Secrets = Secrets()
    local_servers: tuple[LocalServer, ...] = ()  # what was found when it was last looked for; in no file


class TurnDetection(Section):
    """How a turn ends. `patience`: our judgement; `fixed`: after silence_ms; `none`: the client says."""

    kind: Literal["patience", "fixed", "none"] = "patience"
    silence_ms: int = Field(500, ge=100, le=20_000)
    create_response: bool = True
    interrupt_response: bool = True
    idle_ms: int | None = Field(None, ge=1000, le=600_000)  # of silence, then a reply; None: nudges


class Tool(Section):
    """A function that the model may call."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)  # JSON Schema of an object; {}: takes nothing


class NamedTool(Section):
    """The one that it must call."""

    name: str


class CallSettings(Section):
    """What one call may choose. The only mutable thing about a call, replaced as a whole by `merged`."""

    mode: Mode = "interview"
    persona: str = ""  # id of a persona; "": the mode's own
    language: Language = "en"
    topic: str | None = None
    greet: bool = True
    patience: float = Field(1.0, ge=0.25, le=4.0)  # times the mode's
    instructions: str | None = None  # None: the mode's own system prompt
    voice: str | None = None
    speed: float = Field(1.0, ge=0.25, le=1.5)
    turn_detection: TurnDetection = TurnDetection()
    encourage: bool | None = None  # a soft "mhm" in long answers; None: in interviews
    text_only: bool = False
    max_output_tokens: int | None = Field(None, ge=1)
    tools: tuple[Tool, ...] = Field((), max_length=128)  # the client's: it carries them out itself
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"

    @property
    def answers_by_itself(self) -> bool:
        """Whether a turn is answered without being asked for it. In push-to-talk the client asks."""
        return self.turn_detection.create_response and self.turn_detection.kind != "none"

    def merged(self, patch: Mapping[str, Any]) -> CallSettings:
        """A copy with `patch` merged in deeply. Raises pydantic.ValidationError; self is untouched."""
        return CallSettings.model_validate(_merge(self.model_dump(), patch))


def _merge(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in patch.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merge(before, value) if both else value  # type: ignore[arg-type]
    return merged
