"""Where a model may come from: an adapter over another directory, the hub's cache, another family altogether."""

from __future__ import annotations

import json
import shutil

import pytest

from kie_hvqa.data.dataset import dataset_root, image_path, load_rows
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.model_source import model_source

NEW_TOKENS = 8


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, make_cards):
    cards = make_cards(tmp_path_factory.mktemp("source") / "cards", documents=2)
    return [Task(row, image_path(dataset_root(cards), row)) for row in load_rows(cards)]


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """A LoRA adapter with random weights over the tiny model, as PEFT saves it, and the same folded in."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    directory = tmp_path_factory.mktemp("adapter")
    base = AutoModelForImageTextToText.from_pretrained(tiny_model, local_files_only=True)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)")
    model = get_peft_model(base, settings)
    generator = torch.Generator().manual_seed(5)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.5, generator=generator)
    model.save_pretrained(directory / "adapter")
    shutil.copytree(tiny_model, directory / "merged")
    model.merge_and_unload().save_pretrained(directory / "merged")
    return directory / "adapter", directory / "merged"


def read(spec, tasks, **options):
    return {
        answer.id: answer.response
        for answer in open_reader(str(spec), max_new_tokens=NEW_TOKENS, **options).read(tasks)
    }


def test_an_adapter_is_read_over_its_base_and_with_its_bases_contract(adapter, tiny_model, tasks):
    directory, merged = adapter
    reader = open_reader(str(directory))
    assert (reader.source.model, reader.source.adapter) == (tiny_model, directory)
    assert (reader.prompt, reader.contract.max_pixels) == ("question", 256 * 256)
    assert read(directory, tasks) == read(merged, tasks)
    assert read(directory, tasks) != read(tiny_model, tasks)
    assert len({open_reader(str(spec)).identity for spec in (directory, merged, tiny_model)}) == 3


def test_what_lies_beside_an_adapter_goes_before_its_base(adapter, tiny_model, tmp_path):
    directory = shutil.copytree(adapter[0], tmp_path / "adapter")
    shutil.copy(tiny_model / "processor_config.json", directory)
    shutil.copy(tiny_model / "reading.json", directory)
    source = model_source(str(directory))
    assert (source.processor, source.contract) == (directory, directory)
    (directory / "reading.json").write_text(
        (directory / "reading.json").read_text().replace('"patch_size": 8', '"patch_size": 14')
    )
    with pytest.raises(InputError, match="patch_size") as caught:
        open_reader(str(directory))
    assert caught.value.file == str(directory / "reading.json")


def test_an_adapter_that_moved_with_its_base_is_found_and_a_lost_base_is_a_message(adapter, tiny_model, tmp_path):
    directory = shutil.copytree(adapter[0], tmp_path / "run" / "adapter")
    shutil.copytree(tiny_model, tmp_path / "run" / "base")
    file = directory / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "base_model_name_or_path": "../base"}))
    assert model_source(str(directory)).model == (tmp_path / "run" / "base").resolve()
    for base, what in (("/gone/base", "cannot be found"), (None, "names no base"), (str(adapter[0]), "adapter itself")):
        file.write_text(json.dumps({**settings, "base_model_name_or_path": base}))
        with pytest.raises(InputError, match=what) as caught:
            open_reader(str(directory))
        assert (caught.value.file, caught.value.field) == (str(file), "base_model_name_or_path")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_hub_id_is_read_from_the_hubs_cache(tiny_model, tasks, tmp_path, monkeypatch):
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot = cache / "models--someone--tiny-vl" / "snapshots" / COMMIT
    shutil.copytree(tiny_model, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    reader = open_reader("someone/tiny-vl", max_new_tokens=NEW_TOKENS)
    assert (reader.name, reader.source.hub, reader.source.revision) == ("someone/tiny-vl", "someone/tiny-vl", COMMIT)
    assert reader.identity == open_reader(f"someone/tiny-vl@{COMMIT}", max_new_tokens=NEW_TOKENS).identity
    with pytest.raises(InputError, match="no such model can be fetched"):
        open_reader("someone/else")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert {answer.id: answer.response for answer in reader.read(tasks)} == read(tiny_model, tasks)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A random LLaVA: another family, which resizes every image to a square of its own."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    from rl.tiny.tokenizer import build_tokenizer

    directory = tmp_path_factory.mktemp("llava") / "model"
    tokenizer = build_tokenizer(["What is the name in the image?"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>"
        "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}",
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        LlavaForConditionalGeneration(config).save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def test_another_family_is_read_with_the_official_prompt_and_its_own_size(llava, tasks):
    reader = open_reader(str(llava), max_new_tokens=NEW_TOKENS, batch_size=4)
    assert (reader.prompt, reader.budget) == ("official", None)
    answers = list(reader.read(tasks))
    assert sorted(answer.id for answer in answers) == sorted(task.row.id for task in tasks)
    assert all(answer.error is None and answer.confidence < 0 for answer in answers)
    alone = {
        answer.id: answer.response
        for answer in open_reader(str(llava), max_new_tokens=NEW_TOKENS, batch_size=1).read(tasks)
    }
    assert {answer.id: answer.response for answer in answers} == alone
    with pytest.raises(InputError, match="resizes every image"):
        open_reader(str(llava), min_pixels=100)
    assert reader.asks(tasks[0].row) != open_reader(str(llava), max_pixels=4096).asks(tasks[0].row)
