"""OpenVINO: the model converted from PyTorch, int8 by NNCF, the faster of its performance hints."""
from collections import Counter
from dataclasses import replace

from peer import NOT_MEANT, Peer, Unavailable, fastest, made


def suffix(task):
    return {"prefill": "-last", "decode": "-decode"}.get(task.work.phase, "")


def convert(task):
    """fp32, all shapes open; a decode's keys and values are states of the model."""
    def make(folder):
        import openvino

        model = convert_gpt2(task) if task.work.family == "gpt2" else convert_distilbert(task)
        folder.mkdir(parents=True)
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    return made(task.cache / f"{task.model.name}-openvino{suffix(task)}", make) / "model.xml"


def convert_distilbert(task):
    import openvino
    import torch
    from torch_peer import load_model

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = load_model(task)

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    with torch.no_grad():
        return openvino.convert_model(Logits(), example_input={name: torch.from_numpy(task.batches[0][name][:2]) for name in names_of_inputs(task)})


def convert_gpt2(task):
    import gpt2_in_torch
    import openvino
    import torch

    model = gpt2_in_torch.build(task.model, last_only=task.work.phase == "prefill", with_past=task.work.phase == "decode")
    ids = torch.from_numpy(task.prompt)[:, :8]
    with torch.no_grad():
        if task.work.phase != "decode":
            return openvino.convert_model(model, example_input=(ids,))
        return stateful(openvino, torch, model, ids)


def stateful(openvino, torch, model, ids):
    from openvino._offline_transformations import apply_make_stateful_transformation

    config = model.model.config
    heads, size, layers = config.n_head, config.n_embd // config.n_head, config.n_layer
    past = [torch.zeros(1, heads, 3, size) for _ in range(2 * layers)]
    converted = openvino.convert_model(model, example_input=(ids, torch.arange(3, 11)[None], torch.zeros(1, 1, 8, 11), *past))
    names = ["input_ids", "position_ids", "mask"]
    for port, name in zip(converted.inputs, names + [f"past.{index}" for index in range(2 * layers)], strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(converted.outputs, ["logits"] + [f"present.{index}" for index in range(2 * layers)], strict=True):
        port.get_tensor().set_names({name})
    shapes = {"input_ids": [1, -1], "position_ids": [1, -1], "mask": [1, 1, -1, -1], **{f"past.{index}": [1, heads, -1, size] for index in range(2 * layers)}}
    converted.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
    apply_make_stateful_transformation(converted, {f"past.{index}": f"present.{index}" for index in range(2 * layers)})
    return converted


def names_of_inputs(task):
    return ["input_ids"] if task.work.family == "gpt2" else ["input_ids", "attention_mask"]


def calibration(task):
    """64 sentences of the dev set, or 16 windows of the text: those that are timed are among them, which can only flatter it."""
    from works import inputs_of

    count = 16 if task.work.family == "gpt2" else 64
    inputs = inputs_of(replace(task.work, batch=count, seq=128, whole_set=False), task.model)
    return [{name: inputs[name][item:item + 1].numpy() for name in names_of_inputs(task)} for item in range(count)]


def quantized(task, name, change):
    def make(folder):
        import openvino

        model = change(openvino.Core().read_model(convert(task)))
        folder.mkdir(parents=True)
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)

    return made(task.cache / f"{task.model.name}-openvino-{name}{suffix(task)}", make) / "model.xml"


class OpenVino(Peer):
    name = "OpenVINO"
    distributions = ("openvino", "nncf")

    @classmethod
    def refuses(cls, work, format):
        return f"it has no {format} of its own on a processor" if format == "fp16" else None

    def quantize(self, task):
        if task.work.phase == "decode":
            raise Unavailable("nncf.quantize is for models without a state: compressed weights are its way to a language model's int8")

        def change(model):
            import nncf

            return nncf.quantize(model, nncf.Dataset(calibration(task)), model_type=nncf.ModelType.TRANSFORMER, subset_size=64)

        self.options = "nncf.quantize (TRANSFORMER), "
        return quantized(task, "int8", change)

    def __init__(self, task):
        super().__init__(task)
        import openvino

        self.openvino = openvino
        file = self.quantize(task) if task.format == "int8" else convert(task)
        model = openvino.Core().read_model(file)
        if task.work.phase == "decode":
            self.options += "keys and values as states, own loop, "
            self.latency = self.compile(model, "LATENCY")
            self.check_precision()
            self.options += f"hint LATENCY, inference_num_threads {task.threads}, {self.precision}"
            self.request = self.latency.create_infer_request()
            return
        if len(task.batches) == 1:  # one shape: it is told
            model.reshape({name: list(task.batches[0][name].shape) for name in names_of_inputs(task)})
        self.inputs = [[batch[name] for name in names_of_inputs(task)] for batch in task.batches]
        self.latency = self.compile(model, "LATENCY")
        self.check_precision()
        self.throughput = None
        if task.sentences > 1:
            self.choose_hint(file)
        self.options += f"hint {'THROUGHPUT' if self.throughput else 'LATENCY'}, inference_num_threads {task.threads}, {self.precision}"

    def compile(self, model, hint):
        # Its own default is bf16 where the processor has it: that is the way of an int8 row's other steps, and fp32 rows ask for f32.
        asked = {"fp32": {"INFERENCE_PRECISION_HINT": "f32"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}}.get(self.format, {})
        compiled = self.openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": self.task.threads, **asked})
        self.precision = f"inference_precision {compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}{'' if asked else ' (its default)'}"
        return compiled

    def check_precision(self):
        """What the products ran in, by the graph that was compiled."""
        ran = Counter()
        for op in self.latency.get_runtime_model().get_ops():
            info = op.get_rt_info()
            text = lambda key: str(info[key].astype(str) if hasattr(info[key], "astype") else info[key]) if key in info else "?"
            if text("layerType") in ("FullyConnected", "MatMul", "ScaledDotProductAttention"):
                ran[f"{text('layerType')} {text('primitiveType')}"] += 1
        self.kernels = [f"{count} x {name}" for name, count in ran.most_common()]
        if self.format == "bf16" and not any("bf16" in name for name in ran):
            raise Unavailable(f"asked for bf16, it ran {'; '.join(self.kernels)}")

    def choose_hint(self, file):
        """One stream with all threads, or a stream for each part of the work."""
        model = self.openvino.Core().read_model(file)
        compiled = self.compile(model, "THROUGHPUT")
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        queue = self.openvino.AsyncInferQueue(compiled, streams)

        def take(queue):
            self.throughput = queue
            self.run_pass()

        whole = self.inputs
        if self.work.whole_set:
            self.inputs = whole[len(whole) // 2:len(whole) // 2 + 4]
        self.streams = streams
        best = fastest({"LATENCY": lambda: take(None), "THROUGHPUT": lambda: take(queue)}, passes=1)
        self.inputs = whole
        self.throughput = queue if best == "THROUGHPUT" else None
        if self.throughput:
            self.options += f"{streams} streams, "

    def parts(self):
        """Of one batch, a part for each stream; of many, the batches."""
        if len(self.inputs) > 1:
            return self.inputs
        size = -(-self.task.sentences // self.streams)
        return [[array[first:first + size] for array in self.inputs[0]] for first in range(0, self.task.sentences, size)]

    def run_pass(self):
        if not self.throughput:
            for inputs in self.inputs:
                self.latency(inputs, share_inputs=True, share_outputs=True)
            return
        for part in self.parts():
            self.throughput.start_async(part)
        self.throughput.wait_all()

    def run_batch(self, batch):
        self.latency(self.inputs[batch], share_inputs=True, share_outputs=True)

    def logits(self, batch):
        return self.latency(self.inputs[batch])[0]

    def begin(self):
        self.request.reset_state()

    def step(self, ids, position):
        import numpy

        count = ids.shape[1]
        mask = numpy.triu(numpy.full((count, position + count), -1e9, dtype=numpy.float32), position + 1)[None, None]
        positions = numpy.arange(position, position + count, dtype=numpy.int64)[None]
        return self.request.infer([ids, positions, mask], share_inputs=True, share_outputs=True)[0][0, -1]


class OpenVinoCompressed(OpenVino):
    """Weights of 8 bits, activations quantised as they come: what its documentation advises for language models."""

    name = "OpenVINO, compressed weights"

    @classmethod
    def refuses(cls, work, format):
        return super().refuses(work, format) or (None if format == "int8" else NOT_MEANT)

    def quantize(self, task):
        def change(model):
            import nncf

            return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)

        self.options = "nncf.compress_weights INT8_SYM, activations quantised dynamically by its default, "
        return quantized(task, "compressed", change)


PEERS = [OpenVino, OpenVinoCompressed]
