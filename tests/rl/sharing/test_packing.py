"""A packed micro-batch gives every completion the log-probabilities that it has alone."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rl.sharing.packing import Prompt, fill_rows, pack


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_rows_hold_every_item_once_and_none_is_longer_than_the_longest_item(sizes):
    rows = fill_rows(sizes)
    assert sorted(item for row in rows for item in row) == list(range(len(sizes)))
    assert max(sum(sizes[item] for item in row) for row in rows) == max(sizes)
    # First fit: no two rows could have been one.
    totals = [sum(sizes[item] for item in row) for row in rows]
    assert all(a + b > max(sizes) for i, a in enumerate(totals) for b in totals[i + 1 :])


@st.composite
def batches(draw):
    """Prompts of 2 to 6 tokens, each with 1 to 4 completions of 0 to 5, in any order of rows."""
    sizes = draw(st.lists(st.tuples(st.integers(2, 6), st.integers(1, 4)), min_size=1, max_size=4))
    rows = draw(st.permutations(range(sum(count for _, count in sizes))))
    lengths = draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    return sizes, rows, lengths


def _build(drawn):
    sizes, rows, lengths = drawn
    generator = torch.Generator().manual_seed(0)
    prompts, used = [], 0
    for size, count in sizes:
        tokens = torch.randint(5, 50, (size,), generator=generator)
        positions = torch.arange(size).expand(3, -1) + torch.tensor([[0], [1], [2]])
        prompts.append(Prompt(tokens, positions, tuple(rows[used : used + count])))
        used += count
    completions = [torch.randint(5, 50, (length,), generator=generator) for length in lengths]
    return prompts, completions


@settings(max_examples=60, deadline=None)
@given(batches())
def test_every_token_sees_exactly_its_own_conversation(drawn):
    prompts, completions = _build(drawn)
    packed = pack(prompts, completions, width=5)
    allowed = packed.allowed()
    for prompt in prompts:
        for member in prompt.members:
            conversation = torch.cat([prompt.tokens, completions[member]])
            for index in range(len(completions[member])):
                place = int(packed.source[member, index])
                row, column = divmod(place, packed.tokens.shape[1] - 1)
                # The next-token value at this place is about the token after it.
                assert packed.labels[row, column + 1] == completions[member][index]
                seen = allowed[row, 0, column]
                assert packed.tokens[row][seen].tolist() == conversation[: len(prompt.tokens) + index].tolist()
                last = prompt.positions[:, -1] + index
                assert packed.positions[:, row, column].tolist() == last.tolist()
            assert (packed.source[member, len(completions[member]) :] == -1).all()
    assert int((packed.labels >= 0).sum()) == sum(len(completion) for completion in completions)
    assert sorted(packed.order) == list(range(len(prompts)))


def test_values_go_back_to_their_completions():
    prompts = [Prompt(torch.tensor([7, 8]), torch.zeros(3, 2, dtype=torch.long), (1, 0))]
    packed = pack(prompts, [torch.tensor([5]), torch.tensor([6, 9])], width=3)
    # [7 | 8 6 9 | 8 5]: the value before a token is about it.
    values = torch.tensor([[10.0, 11.0, 12.0, 13.0, 14.0]])
    assert packed.tokens.tolist() == [[7, 8, 6, 9, 8, 5]]
    assert packed.per_completion(values).tolist() == [[14.0, 0.0, 0.0], [11.0, 12.0, 0.0]]


def test_a_row_without_a_prompt_is_refused():
    prompt = Prompt(torch.tensor([1, 2]), torch.zeros(3, 2, dtype=torch.long), (0,))
    with pytest.raises(ValueError, match="exactly one prompt"):
        pack([prompt], [torch.tensor([1]), torch.tensor([2])], width=1)


@settings(max_examples=10, deadline=None)
@given(batches())
def test_blocks_let_see_what_the_dense_mask_lets_see(drawn):
    from torch.nn.attention.flex_attention import create_mask

    packed = pack(*_build(drawn), width=5)
    rows, length = packed.tokens.shape
    blocks = packed.blocks()
    assert torch.equal(create_mask(blocks.mask_mod, rows, 1, length, length, device="cpu"), packed.allowed())
