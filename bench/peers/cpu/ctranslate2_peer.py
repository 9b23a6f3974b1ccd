"""CTranslate2: an encoder for DistilBERT, a generator for GPT-2."""
import time

from peer import Peer, Unavailable, made

COMPUTE = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


def convert(task):
    """Its own converter; the weights stay in fp32, and the compute type is chosen at loading."""
    def make(folder):
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(task.model)).convert(str(folder), quantization="float32")

    return made(task.cache / f"{task.model.name}-ctranslate2", make)


class CTranslate2(Peer):
    name = "CTranslate2"
    distributions = ("ctranslate2",)

    def __init__(self, task):
        super().__init__(task)
        import ctranslate2
        import numpy

        self.library, self.numpy = ctranslate2, numpy
        compute = COMPUTE[task.format]
        if compute not in ctranslate2.get_supported_compute_types("cpu"):
            raise Unavailable(f"no compute type {compute} on this processor: {', '.join(sorted(ctranslate2.get_supported_compute_types('cpu')))}")
        kind = ctranslate2.Generator if task.work.family == "gpt2" else ctranslate2.Encoder
        self.model = kind(str(convert(task)), device="cpu", compute_type=compute, inter_threads=1, intra_threads=task.threads)
        if self.model.compute_type != {"int8": "int8_float32"}.get(compute, compute):
            raise Unavailable(f"asked for {compute}, it runs {self.model.compute_type}")
        self.options = f"compute type {self.model.compute_type}, intra_threads {task.threads}"
        if task.work.family == "distilbert":
            self.read_classifier()
            self.options += ", classifier in NumPy"
            # It leaves padding out by itself. A padded work is all tokens of a batch: there every length is the batch's.
            if not task.work.whole_set:
                self.options += ", all tokens taken for real: no padding left out"
        self.ids = [batch["input_ids"].astype(numpy.int32) for batch in task.batches]
        self.lengths = [(batch["attention_mask"] if task.work.whole_set else numpy.ones_like(batch["attention_mask"])).sum(1).astype(numpy.int32) for batch in task.batches]

    def read_classifier(self):
        from safetensors.torch import load_file

        weights = load_file(next(self.task.model.glob("model*.safetensors")))
        self.head = [weights[f"{layer}.{kind}"].float().numpy() for layer in ("pre_classifier", "classifier") for kind in ("weight", "bias")]

    def logits(self, batch):
        view = self.library.StorageView.from_array
        output = self.model.forward_batch(view(self.ids[batch]), view(self.lengths[batch]))
        if self.work.family == "gpt2":
            logits = self.numpy.array(output)
            return logits
        hidden = self.numpy.asarray(output.last_hidden_state)[:, 0]
        first, first_bias, second, second_bias = self.head
        return self.numpy.maximum(hidden @ first.T + first_bias, 0) @ second.T + second_bias

    @classmethod
    def refuses(cls, work, format):
        if work.phase == "prefill":
            return "forward_batch computes the logits of every position: see gpt2-b1-s128"
        return None

    def prompt_tokens(self):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.task.model).convert_ids_to_tokens(self.task.prompt[0].tolist())

    def decode(self, keep_logits=False):
        """One token more than is timed: the first step's time holds the prompt's pass."""
        if not hasattr(self, "tokens"):
            self.tokens = self.prompt_tokens()
        stamps = []
        count = self.work.new_tokens + 1
        options = {"return_logits_vocab": True} if keep_logits else {}
        # No step may be the last by itself: the end is a token of the vocabulary that no text has (" externalToEVA").
        result = self.model.generate_batch([self.tokens], beam_size=1, sampling_topk=1, max_length=count, end_token=[30212], include_prompt_in_result=False,
                                           callback=lambda step: stamps.append(time.perf_counter()) and False, **options)[0]
        if len(stamps) != count:
            raise RuntimeError(f"{len(stamps)} tokens in place of {count}")
        return 1000 * (stamps[-1] - stamps[0]) / (len(stamps) - 1), result

    def answers(self):
        if self.work.phase != "decode":
            return super().answers()
        _, result = self.decode(keep_logits=True)
        new = self.work.new_tokens
        tokens = self.numpy.concatenate([self.task.prompt[0], self.numpy.array(result.sequences_ids[0][:new])])[None]
        logits = self.numpy.stack([self.numpy.array(step).reshape(-1) for step in result.logits[0][:new]])
        return {"tokens": tokens, "logits": logits}

    def decode_pass(self):
        return self.decode()[0]


PEERS = [CTranslate2]
