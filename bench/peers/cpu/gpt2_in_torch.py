"""GPT-2 in a page of PyTorch, for converters that cannot follow Transformers' own: the masks that it makes have no counterpart there."""


def build(folder, last_only=False, with_past=False):
    """forward(input_ids) -> logits, causal; with a past: forward(input_ids, position_ids, mask, past_key.0, past_value.0, ..) ->
    (logits of the last position, present_key.0, ..), where mask [1, 1, tokens, past + tokens] is added to the scores."""
    import torch
    from torch.nn.functional import gelu, scaled_dot_product_attention
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    heads = model.config.n_head

    def conv(module, x):
        return torch.nn.functional.linear(x, module.weight.t().contiguous(), module.bias)

    class GPT2(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, position_ids=None, mask=None, *past):
            base = self.model.transformer
            positions = base.wpe(position_ids) if with_past else base.wpe.weight[:input_ids.shape[1]]
            x = base.wte(input_ids) + positions
            present = []
            for layer, block in enumerate(base.h):
                qkv = conv(block.attn.c_attn, block.ln_1(x))
                q, k, v = (part.view(part.shape[0], -1, heads, part.shape[2] // heads).transpose(1, 2) for part in qkv.split(qkv.shape[2] // 3, dim=2))
                if with_past:
                    k, v = torch.cat([past[2 * layer], k], 2), torch.cat([past[2 * layer + 1], v], 2)
                    present += [k, v]
                    a = scaled_dot_product_attention(q, k, v, attn_mask=mask)
                else:
                    a = scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + conv(block.attn.c_proj, a.transpose(1, 2).reshape(x.shape))
                x = x + conv(block.mlp.c_proj, gelu(conv(block.mlp.c_fc, block.ln_2(x)), approximate="tanh"))
            x = base.ln_f(x)
            logits = torch.nn.functional.linear(x[:, -1:] if last_only or with_past else x, self.model.lm_head.weight)
            return (logits, *present) if with_past else logits

    return GPT2().eval()
