"""Training gives the same bits again, and exports what transformers computes."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from worker.novice.batches import Row, to_row
from worker.novice.echoes import echo
from worker.novice.export import load_weights, save_model
from worker.novice.network import Network, Shape
from worker.novice.schedule import Schedule, Settings
from worker.novice.tokenizer import TURN_END, train_tokenizer
from worker.novice.train import Progressed, rows, texts, train, weights_hash

TINY = Settings(
    shape=Shape(vocabulary=320, hidden=64, layers=2, heads=2, kv_heads=1, head=32, intermediate=96),
    steps=3,
    warmup=1,
    batch_tokens=1024,
    pool=16,
    tokenizer_texts=50,
    hash_every=1,
    compiled=False,
)


def look_away(network: Network, tokenizer: Tokenizer, record: Progressed) -> None:
    pass


def trained(settings: Settings) -> tuple[Network, Tokenizer, dict[int, str]]:
    network, tokenizer, record = train(settings, look_away)
    return network, tokenizer, record.hashes


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> None:
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_training_twice_gives_the_same_bits() -> None:
    first, second = trained(TINY), trained(TINY)
    assert first[2] == second[2]
    assert len(first[2]) == 3
    assert first[1].to_str() == second[1].to_str()


def test_breaking_off_early_keeps_the_bits_of_the_whole_training() -> None:
    _, _, record = train(TINY, look_away, Schedule(TINY, until=2))
    assert record.hashes == {step: trained(TINY)[2][step] for step in (1, 2)}


def test_another_seed_gives_other_weights() -> None:
    assert trained(TINY)[2] != trained(replace(TINY, seed=2))[2]


def test_hash_sees_a_single_bit() -> None:
    network = Network(TINY.shape)
    before = weights_hash(network)
    with torch.no_grad():
        network.norm.weight[0] = torch.nextafter(network.norm.weight[0], torch.tensor(2.0))
    assert weights_hash(network) != before


def test_saved_model_gives_the_same_logits_in_transformers(tmp_path: Path) -> None:
    network, tokenizer, _ = trained(TINY)
    save_model(network, tokenizer, tmp_path)
    reference = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.tensor([tokenizer.encode("hello there").ids])
    with torch.inference_mode():
        theirs: Tensor = reference(tokens).logits[0]
        ours = rounded(network)(tokens, torch.arange(tokens.shape[1]))
    torch.testing.assert_close(ours.float(), theirs, atol=0.05, rtol=0.05)


def rounded(network: Network) -> Network:
    """The file holds bf16; compare with the same rounding."""
    return network.bfloat16()


def test_loss_positions_cover_the_answers_and_their_ends_only() -> None:
    tokenizer = train_tokenizer(islice(texts(1), 50), 320)
    text = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo you<|im_end|>\n"
    row = to_row(text, tokenizer)
    wanted = tokenizer.decode([row.tokens[at + 1] for at in row.where], skip_special_tokens=False)
    assert wanted == f"yo you{TURN_END}"


def test_rows_are_tokenised_as_serving_tokenises_the_whole_text() -> None:
    tokenizer = train_tokenizer(islice(texts(1), 200), 512)
    for text in islice(texts(2), 200):
        assert to_row(text, tokenizer).tokens == tokenizer.encode(text).ids


def test_echo_has_a_loss_on_what_can_be_copied() -> None:
    row = echo(Random(1), vocabulary=320)
    length = len(row.tokens) // 2
    assert row.tokens[:length] == row.tokens[length:]
    assert [row.tokens[at + 1] for at in row.where] == row.tokens[1:length]
    assert min(row.where) == length


def test_echoes_come_first_and_only_where_training_begins() -> None:
    tokenizer = train_tokenizer(islice(texts(1), 50), 320)
    begins, goes_on = rows(tokenizer, TINY), rows(tokenizer, replace(TINY, start="x"))
    doubled = [is_echo(row) for row in islice(begins, 50)]
    assert all(doubled)
    assert sum(is_echo(row) for row in islice(goes_on, 50)) < 10


def is_echo(row: Row) -> bool:
    length = len(row.tokens) // 2
    return row.tokens[:length] == row.tokens[length:]


def test_training_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    network, tokenizer, _ = train(TINY, look_away)
    save_model(network, tokenizer, tmp_path)
    again = Network(TINY.shape)
    load_weights(again, tmp_path)
    for name, weight in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight.bfloat16().float())
    _, same, record = train(replace(TINY, start=str(tmp_path), seed=2), look_away)
    assert same.get_vocab() == tokenizer.get_vocab()
    assert record.steps == TINY.steps


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    schedule = Schedule(replace(TINY, steps=100, warmup=10))
    rates = [schedule.rate(step, 0.0) for step in range(1, 101)]
    assert rates[4] == 0.5
    assert rates[9:60] == [1.0] * 51
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 40)


def test_time_budget_settles_on_a_number_of_steps_that_repeats_the_rates() -> None:
    timed = Schedule(replace(TINY, warmup=10), budget_s=100.0)
    by_clock = [timed.rate(step, elapsed_s=1.5 * step) for step in range(1, 60)]
    counted = Schedule(replace(TINY, warmup=10, steps=timed.steps))
    assert [counted.rate(step, 0.0) for step in range(1, 60)] == by_clock


def test_training_record_of_the_shipped_model_is_complete() -> None:
    folder = Path(__file__).parents[2] / "worker" / "novice" / "model"
    told = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert told["settings"]["steps"] == max(map(int, told["weights_sha256"]))
