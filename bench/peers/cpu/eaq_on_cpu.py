"""eaq's own answers and visits on a processor."""
import tempfile
from pathlib import Path

from contestants import Eaq


class EaqOnCpu(Eaq):
    def __init__(self, work, format, model_folder, program, threads):
        super().__init__(work, format, model_folder, program, threads)
        self.options = f"study, {threads} threads" + (", unpadded" if not work.seq else "")

    def milliseconds(self, study):
        """Of sst2-dev a sentence's (the last batch is smaller than the others), of all else a batch's or a token's."""
        ms = super().milliseconds(study)
        return 1000 / study["runs"][0]["throughput_per_s"]["mean"] if self.work.whole_set else ms

    def logits(self, batch):
        from safetensors.numpy import load_file, save_file

        with tempfile.TemporaryDirectory(prefix="eaq-peers-") as folder:
            ids, out = Path(folder) / "ids.safetensors", Path(folder) / "logits.safetensors"
            save_file(batch, ids)
            self.call([self.program, "logits", self.model, "--ids", ids, "-o", out, "--format", self.format, "--device", "cpu", "--threads", self.threads])
            return load_file(out)["logits"]

    def answers(self, reference, batches):
        """By `eaq logits`: of the whole set its shortest and longest batch. A decode is checked by the forward pass that its steps must agree with."""
        if self.work.phase == "decode":
            from answers import Reference, as_decode

            reference = Reference(as_decode(self.work), self.model, batches)
        chosen = {0, len(batches) - 1}
        logits = [self.logits(batch) if index in chosen else None for index, batch in enumerate(batches)]
        if self.work.phase == "prefill":
            logits = [some[:, -1:] for some in logits]
        return reference.errors({"logits": logits})
