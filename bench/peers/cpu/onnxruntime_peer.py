"""ONNX Runtime: fused graphs, and its dynamic quantisation with a scale for each channel."""
import time

from onnx_graphs import distilbert, gpt2
from peer import Peer, has_vnni, made


def graph_file(task):
    """The fused graph, quantised where the row asks for it."""
    phase = task.work.phase
    stem = f"{task.model.name}-{phase if task.work.family == 'gpt2' else 'encoder'}"

    def make(path):
        if task.work.family == "gpt2":
            gpt2(task.model, path, last_only=phase == "prefill", with_past=phase == "decode")
        else:
            distilbert(task.model, path)

    whole = made(task.cache / f"{stem}.onnx", make)
    if task.format != "int8":
        return whole

    def quantize(path):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # Without VNNI sums of u8 x s8 products saturate at 16 bits: its documentation advises weights of 7 bits there.
        quantize_dynamic(str(whole), str(path), per_channel=True, reduce_range=not has_vnni(), weight_type=QuantType.QInt8,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})  # shapes are not inferred through fused operators

    return made(task.cache / f"{stem}-int8.onnx", quantize)


class OnnxRuntime(Peer):
    name = "ONNX Runtime"
    distributions = ("onnxruntime",)

    @classmethod
    def refuses(cls, work, format):
        return None if format in ("fp32", "int8") else f"its CPU provider multiplies no {format} matrices on x86"

    def __init__(self, task):
        super().__init__(task)
        import numpy
        import onnxruntime

        self.numpy, self.value_of = numpy, onnxruntime.OrtValue.ortvalue_from_numpy
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(str(graph_file(task)), options, providers=["CPUExecutionProvider"])
        self.options = f"fused operators, intra_op_num_threads {task.threads}"
        if task.format == "int8":
            self.options += ", quantize_dynamic per_channel" + ("" if has_vnni() else ", reduce_range")
        self.inputs = [self.inputs_of(batch) for batch in task.batches]

    def inputs_of(self, batch):
        numpy = self.numpy
        if self.work.family == "gpt2":
            ids = batch["input_ids"]
            return {"input_ids": ids, "position_ids": numpy.arange(ids.shape[1], dtype=numpy.int64)[None]}
        return {name: array.astype(numpy.int32) for name, array in batch.items()}

    def logits(self, batch):
        return self.session.run(["logits"], self.inputs[batch])[0]

    def begin(self):
        layers = sum(value.name.startswith("past.") for value in self.session.get_inputs())
        _, _, heads, _, size = next(value.shape for value in self.session.get_inputs() if value.name == "past.0")
        self.past = [self.value_of(self.numpy.zeros((2, 1, heads, 0, size), dtype=self.numpy.float32)) for _ in range(layers)]

    def step(self, ids, position):
        """Keys and values stay OrtValues: nothing is copied out but the logits."""
        numpy = self.numpy
        feeds = {"input_ids": self.value_of(ids), "position_ids": self.value_of(numpy.arange(position, position + ids.shape[1], dtype=numpy.int64)[None]),
                 **{f"past.{layer}": value for layer, value in enumerate(self.past)}}
        outputs = self.session.run_with_ort_values(["logits", *(f"present.{layer}" for layer in range(len(self.past)))], feeds)
        self.past = outputs[1:]
        return outputs[0].numpy()[0, -1]


PEERS = [OnnxRuntime]
