"""AMD's plug-in for PyTorch, with the PyTorch that it is made for: compiled by its own backend."""
from peer import Unavailable
from torch_peer import TorchCompiled


class Zentorch(TorchCompiled):
    name = "zentorch"
    venv = "zentorch"
    distributions = ("zentorch", "torch", "transformers")
    environment = {}

    @classmethod
    def refuses(cls, work, format):
        if work.phase == "decode":
            return "no decode loop is written for it: it compiles whole graphs"
        return None

    def compile(self):
        import zentorch  # noqa: F401: registers the backend

        if self.format == "bf16":
            self.model.to(self.torch.bfloat16)
        self.model.forward = self.torch.compile(self.model.forward, backend="zentorch", dynamic=True if self.work.whole_set else None)
        self.options += ", torch.compile(backend='zentorch')" + (", dynamic shapes" if self.work.whole_set else "")

    def quantize(self):
        raise Unavailable("its int8 takes models exported through PyTorch's PT2E quantiser; that is not written here")


PEERS = [Zentorch]
