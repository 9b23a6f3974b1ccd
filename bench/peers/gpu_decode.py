"""Greedy decoding on a graphics card, one sequence: whose key-value cache, and how much of a step is one graph.

A pass is all new tokens after a prompt that is already in the cache; its own time is left out. Tokens stay on the card: each step feeds
the next, and nothing waits for the host."""
import math

from gpu_contestants import Captured, TorchOnGpu


class TorchDecode(TorchOnGpu):
    """Transformers' model and growing cache in a loop of our own: `generate` adds milliseconds of Python to each token."""

    key, name = "eager", "torch eager, DynamicCache"

    def new_cache(self):
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def forward(self, token, cache):
        return self.model(input_ids=token, past_key_values=cache, use_cache=True).logits[:, -1]

    def read_prompt(self, cache):
        """The prompt into the cache; its last logits."""
        return self.model(input_ids=self.prompt, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]

    def start(self):
        self.cache = self.new_cache()
        self.first_logits = self.read_prompt(self.cache)
        self.first = self.first_logits.argmax(-1, keepdim=True)

    def rewind(self):
        if (ahead := self.cache.get_seq_length() - self.work.seq) > 0:
            self.cache.crop(-ahead)
        self.token = self.first

    def step(self):
        """Feeds the token; the logits of the next one, which becomes the token."""
        logits = self.forward(self.token, self.cache)
        self.token = logits.argmax(-1, keepdim=True)
        return logits

    def run_pass(self):
        self.rewind()
        for _ in range(self.work.new_tokens):
            self.step()

    def prepare_within(self, answers):
        self.prompt = answers.batches[0]["input_ids"]
        self.start()
        tokens, chosen_by = [self.prompt], []
        for _ in range(2):  # the second pass must not see what the first left in the cache
            self.rewind()
            tokens, chosen_by = [self.prompt, self.first], [self.first_logits[0]]
            for new in range(self.work.new_tokens - 1):
                chosen_by.append(self.step()[0].clone())
                tokens.append(self.token.clone().view(1, 1))
            self.step()
        import torch

        return answers.greedy_error(torch.cat(tokens, 1), torch.stack(chosen_by))


class TorchDecodeGraph(TorchDecode):
    """Transformers' model and static cache; a step, its argmax included, is one CUDA graph."""

    key, name, graphed = "graph", "torch CUDA graph, StaticCache", True

    def new_cache(self):
        from transformers import StaticCache

        return StaticCache(config=self.model.config, max_cache_len=self.work.seq + self.work.new_tokens)

    def start(self):
        super().start()
        self.token = self.first.clone()
        self.model_step = self.compile(self.forward) if self.compiled else self.forward
        self.rewind()
        self.graph = Captured(self.whole_step, self.device)

    def rewind(self):
        for layer in self.cache.layers:
            layer.cumulative_length.fill_(self.work.seq)
        self.token.copy_(self.first)

    def whole_step(self):
        logits = self.model_step(self.token, self.cache)
        self.token.copy_(logits.argmax(-1, keepdim=True))
        return logits

    def step(self):
        self.graph.replay()
        return self.graph.output


class TorchDecodeCompiled(TorchDecodeGraph):
    """The same, its forward compiled."""

    key, name, compiled = "compile", "torch compile, StaticCache", True


class OwnStep:
    """GPT-2's step for one token, written for the compiler: static caches, weights as Transformers holds them, attention over the whole
    cache with what lies ahead masked."""

    def __init__(self, model, capacity, fused_attention):
        import torch

        self.body, self.fused = model.transformer, fused_attention
        config, weight = model.config, model.transformer.wte.weight
        self.heads, self.width = config.n_head, config.n_embd // config.n_head
        self.places = torch.arange(capacity, device=weight.device)
        self.keys, self.values = ([torch.zeros(self.heads, capacity, self.width, dtype=weight.dtype, device=weight.device) for _ in self.body.h] for _ in range(2))

    def load(self, cache, length):
        for layer, keys, values in zip(cache.layers, self.keys, self.values, strict=True):
            keys[:, :length] = layer.keys[0, :, :length]
            values[:, :length] = layer.values[0, :, :length]

    def attend(self, query, keys, values, seen):
        import torch

        scale = 1 / math.sqrt(self.width)
        if self.fused:
            return torch.nn.functional.scaled_dot_product_attention(query[None, :, None], keys[None], values[None], attn_mask=seen[None, None, None], scale=scale).reshape(1, -1)
        scores = (keys.float() * query[:, None].float()).sum(-1) * scale
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        return (weights[:, :, None] * values.float()).sum(1).to(query.dtype).reshape(1, -1)

    def __call__(self, token, position):
        import torch
        from torch.nn.functional import gelu

        product = lambda x, layer: x @ layer.weight + layer.bias
        x = self.body.wte.weight[token] + self.body.wpe.weight[position]
        seen = self.places <= position
        for block, keys, values in zip(self.body.h, self.keys, self.values):
            query, key, value = product(block.ln_1(x), block.attn.c_attn).view(3, self.heads, self.width)
            keys[:, position] = key[:, None]
            values[:, position] = value[:, None]
            x = x + product(self.attend(query, keys, values, seen), block.attn.c_proj)
            x = x + product(gelu(product(block.ln_2(x), block.mlp.c_fc), approximate="tanh"), block.mlp.c_proj)
        logits = self.body.ln_f(x) @ self.body.wte.weight.t()
        return logits, torch.argmax(logits, -1)


class TorchDecodeOwn(TorchDecode):
    """A step of our own, compiled, in one CUDA graph a token."""

    key, name, graphed, compiled, fused_attention = "own", "torch compile, own loop", True, True, False

    def start(self):
        super().start()
        step = OwnStep(self.model, self.work.seq + self.work.new_tokens, self.fused_attention)
        step.load(self.cache, self.work.seq)
        self.compiled_step = self.compile(step.__call__)
        self.token = self.first.clone().view(1)
        self.position = self.token.clone()
        self.rewind()
        self.graph = Captured(self.whole_step, self.device)

    def rewind(self):
        self.token.copy_(self.first.view(1))
        self.position.fill_(self.work.seq)

    def whole_step(self):
        logits, token = self.compiled_step(self.token, self.position)
        self.token.copy_(token)
        self.position.add_(1)
        return logits

    def step(self):
        self.graph.replay()
        return self.graph.output


class TorchDecodeOwnFused(TorchDecodeOwn):
    """With PyTorch's fused attention in it."""

    key, name, fused_attention = "own-sdpa", "torch compile, own loop with sdpa", True
