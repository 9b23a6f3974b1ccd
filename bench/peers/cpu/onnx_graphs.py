"""DistilBERT and GPT-2 as ONNX graphs of ONNX Runtime's fused operators, written from the checkpoint.

They use the operators that onnxruntime.transformers.optimizer fuses an exported model to (Attention, SkipLayerNormalization, BiasGelu,
FastGelu, EmbedLayerNormalization). Written down directly, they depend on no exporter; the optimizer itself was not run beside them."""
import json

MICROSOFT = "com.microsoft"


class Graph:
    def __init__(self, folder):
        from safetensors.torch import load_file

        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {}
        for file in sorted(folder.glob("model*.safetensors")):
            self.weights.update(load_file(file))
        self.nodes, self.initializers = [], {}

    def weight(self, name, transposed=False):
        """The name of an initializer; a checkpoint may lack the base model's prefix."""
        if name not in self.initializers:
            tensor = self.weights.get(name, self.weights.get(name.partition(".")[2])).float()
            self.initializers[name] = (tensor.t() if transposed else tensor).contiguous().numpy()
        return name

    def constant(self, name, array):
        self.initializers[name] = array
        return name

    def add(self, op, inputs, output, domain="", outputs=None, **attributes):
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, outputs or [output], name=f"{op}_{len(self.nodes)}", domain=domain, **attributes))
        return output

    def matmul(self, x, weight, output, transposed=True):
        return self.add("MatMul", [x, self.weight(weight, transposed)], output)

    def save(self, path, inputs, outputs):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        kinds = {"int32": TensorProto.INT32, "int64": TensorProto.INT64, "float": TensorProto.FLOAT}
        of = lambda values: [helper.make_tensor_value_info(name, kinds[kind], shape) for name, kind, shape in values]
        graph = helper.make_graph(self.nodes, "model", of(inputs), of(outputs), [numpy_helper.from_array(array, name) for name, array in self.initializers.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)], ir_version=9)
        onnx.save(model, str(path))


def joined(graph, names, output, of_columns):
    """Several Linear layers as one: [in, out] side by side, or their biases."""
    import numpy

    parts = [graph.weights.get(name, graph.weights.get(name.partition(".")[2])).float() for name in names]
    return graph.constant(output, numpy.concatenate([(part.t() if of_columns else part).numpy() for part in parts], axis=-1).copy())


def distilbert(folder, path):
    import numpy

    graph = Graph(folder)
    heads = graph.config["n_heads"]
    base = "distilbert.embeddings."
    graph.add("EmbedLayerNormalization",
              ["input_ids", "", graph.weight(base + "word_embeddings.weight"), graph.weight(base + "position_embeddings.weight"), "",
               graph.weight(base + "LayerNorm.weight"), graph.weight(base + "LayerNorm.bias"), "attention_mask"],
              "", MICROSOFT, outputs=["x", "mask_index"], epsilon=1e-12)
    x = "x"
    for layer in range(graph.config["n_layers"]):
        at = f"distilbert.transformer.layer.{layer}."
        lins = [f"{at}attention.{kind}_lin." for kind in "qkv"]
        weight = joined(graph, [lin + "weight" for lin in lins], f"qkv_weight.{layer}", True)
        bias = joined(graph, [lin + "bias" for lin in lins], f"qkv_bias.{layer}", False)
        a = graph.add("Attention", [x, weight, bias, "mask_index"], f"attention.{layer}", MICROSOFT, num_heads=heads)
        a = graph.matmul(a, at + "attention.out_lin.weight", f"out.{layer}")
        x = graph.add("SkipLayerNormalization", [a, x, *(graph.weight(at + name) for name in ("sa_layer_norm.weight", "sa_layer_norm.bias", "attention.out_lin.bias"))],
                      f"after_attention.{layer}", MICROSOFT, epsilon=1e-12)
        f = graph.matmul(x, at + "ffn.lin1.weight", f"lin1.{layer}")
        f = graph.add("BiasGelu", [f, graph.weight(at + "ffn.lin1.bias")], f"gelu.{layer}", MICROSOFT)
        f = graph.matmul(f, at + "ffn.lin2.weight", f"lin2.{layer}")
        x = graph.add("SkipLayerNormalization", [f, x, *(graph.weight(at + name) for name in ("output_layer_norm.weight", "output_layer_norm.bias", "ffn.lin2.bias"))],
                      f"after_ffn.{layer}", MICROSOFT, epsilon=1e-12)
    first = graph.add("Gather", [x, graph.constant("zero", numpy.array(0, dtype=numpy.int64))], "first", axis=1)
    p = graph.matmul(first, "pre_classifier.weight", "pre")
    p = graph.add("Relu", [graph.add("Add", [p, graph.weight("pre_classifier.bias")], "pre_biased")], "pooled")
    graph.add("Add", [graph.matmul(p, "classifier.weight", "class"), graph.weight("classifier.bias")], "logits")
    graph.save(path, [("input_ids", "int32", ["batch", "sequence"]), ("attention_mask", "int32", ["batch", "sequence"])], [("logits", "float", ["batch", "labels"])])


def gpt2(folder, path, last_only=False, with_past=False):
    """With a past: one `past.N` and `present.N` [2, batch, heads, length, size] a layer, as ONNX Runtime's own GPT-2 graphs have them."""
    import numpy

    graph = Graph(folder)
    config, base = graph.config, "transformer."
    heads, size = config["n_head"], config["n_embd"] // config["n_head"]
    epsilon = config["layer_norm_epsilon"]
    x = graph.add("Add", [graph.add("Gather", [graph.weight(base + "wte.weight"), "input_ids"], "tokens"),
                          graph.add("Gather", [graph.weight(base + "wpe.weight"), "position_ids"], "positions")], "x")
    normed = graph.add("LayerNormalization", [x, graph.weight(base + "h.0.ln_1.weight"), graph.weight(base + "h.0.ln_1.bias")], "normed", axis=-1, epsilon=epsilon)
    inputs, outputs = [("input_ids", "int64", ["batch", "sequence"]), ("position_ids", "int64", ["one", "sequence"])], []
    for layer in range(config["n_layer"]):
        at = f"{base}h.{layer}."
        after = f"{base}h.{layer + 1}.ln_1." if layer + 1 < config["n_layer"] else base + "ln_f."
        attention = [normed, graph.weight(at + "attn.c_attn.weight"), graph.weight(at + "attn.c_attn.bias")]
        made = [f"attention.{layer}"]
        if with_past:
            attention += ["", f"past.{layer}"]
            made.append(f"present.{layer}")
            inputs.append((f"past.{layer}", "float", [2, "batch", heads, "past", size]))
            outputs.append((f"present.{layer}", "float", [2, "batch", heads, "total", size]))
        graph.add("Attention", attention, "", MICROSOFT, outputs=made, num_heads=heads, unidirectional=1)
        a = graph.matmul(made[0], at + "attn.c_proj.weight", f"proj.{layer}", transposed=False)
        graph.add("SkipLayerNormalization", [a, x, graph.weight(at + "ln_2.weight"), graph.weight(at + "ln_2.bias"), graph.weight(at + "attn.c_proj.bias")], "", MICROSOFT,
                  outputs=[f"normed_2.{layer}", "", "", f"after_attention.{layer}"], epsilon=epsilon)
        f = graph.matmul(f"normed_2.{layer}", at + "mlp.c_fc.weight", f"fc.{layer}", transposed=False)
        f = graph.add("FastGelu", [f, graph.weight(at + "mlp.c_fc.bias")], f"gelu.{layer}", MICROSOFT)
        f = graph.matmul(f, at + "mlp.c_proj.weight", f"mlp.{layer}", transposed=False)
        x, normed = f"after_mlp.{layer}", f"normed_after.{layer}"
        graph.add("SkipLayerNormalization", [f, f"after_attention.{layer}", graph.weight(after + "weight"), graph.weight(after + "bias"), graph.weight(at + "mlp.c_proj.bias")], "",
                  MICROSOFT, outputs=[normed, "", "", x], epsilon=epsilon)
    if last_only:
        normed = graph.add("Gather", [normed, graph.constant("last", numpy.array([-1], dtype=numpy.int64))], "last_normed", axis=1)
    head = graph.constant("head", graph.initializers[base + "wte.weight"].T.copy())
    graph.add("MatMul", [normed, head], "logits")
    graph.save(path, inputs, [("logits", "float", ["batch", "kept", config["vocab_size"]]), *outputs])
