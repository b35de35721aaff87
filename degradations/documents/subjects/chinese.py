"""What Chinese cards and invoices say: names, addresses, companies, numbers with check characters, sums in words.

Nothing here belongs to anybody: names are put together from common characters, provinces and towns do not exist, and
identity numbers begin with a region code that was never given out (99). Every character of every value is in
``CHARACTERS``, the class that an observer may take for one another.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from degradations.documents.subjects.names import split_of
from degradations.documents.subjects.said import Day, Said
from degradations.documents.subjects.values import characters, pick
from kie_hvqa.errors import InputError

SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
GIVEN = (
    "明华强伟芳娜静敏丽艳杰娟涛勇军平刚桂英文玉兰红霞梅燕玲建国志海波辉鹏飞宇浩天一诺子涵梓轩雨欣思雅琪佳慧晨曦阳博俊峰"
    "哲瑞嘉怡若彤可心安宁清源书墨青山雪松柏林乐成德仁义礼智信春秋冬月星云帆航远翔凯旋恒毅昊然"
)
PLACES = (
    "云岭",
    "青石",
    "白河",
    "临溪",
    "松江",
    "望海",
    "金沙",
    "清源",
    "长安岭",
    "新安",
    "龙泉",
    "石桥",
    "平川",
    "永和",
)
ROADS = ("河东", "人民", "解放", "文化", "中山", "新华", "和平", "建设", "胜利", "花园", "学府", "滨江")
ETHNICITIES = ("汉", "满", "回", "苗", "壮", "白", "土家", "彝")
TRADES = ("纸品", "科技", "电子", "商贸", "机械", "食品", "建材", "物流", "文具", "五金", "信息技术", "办公用品")
# Name, model, unit, and the price's bounds in jiao.
GOODS = (
    ("*纸制品*复印纸", "A4", "箱", 1200, 2200), ("*电子元件*连接线", "2m", "根", 80, 400), ("*办公用品*墨盒", "黑色", "个", 600, 2400),
    ("*餐饮服务*餐费", "", "次", 800, 6000), ("*五金制品*螺栓", "M6", "包", 60, 300), ("*照明设备*灯管", "LED", "支", 120, 480),
    ("*文具*签字笔", "0.5mm", "盒", 150, 450), ("*物流服务*运输费", "", "次", 500, 9000), ("*日用品*手套", "L", "双", 40, 180),
)  # fmt: skip
WORDS = "零壹贰叁肆伍陆柒捌玖拾佰仟万亿圆角分整"
CHARACTERS = "".join(
    sorted(
        set(
            SURNAMES
            + GIVEN
            + WORDS
            + "".join((*PLACES, *ROADS, *ETHNICITIES, *TRADES))
            + "男女年月日省市县区路号室镇村有限公司"
        )
    )
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z


def name(rng: np.random.Generator, split: str) -> str:
    """A surname and one or two further characters; no full name is in two splits."""
    for _ in range(200):
        given = "".join(GIVEN[i] for i in rng.integers(len(GIVEN), size=1 if rng.random() < 0.3 else 2))
        found = pick(rng, SURNAMES) + given
        if split_of(found) == split:
            return found
    raise InputError(f"no name for split {split!r}", remedy="use one of train, validation, test")


def scrambled(rng: np.random.Generator, length: int) -> str:
    """Any characters, so that nothing but the pixels says which."""
    return characters(rng, CHARACTERS, length)


def address(rng: np.random.Generator) -> str:
    """Province, county, road and number: at most 16 characters."""
    first, second = (PLACES[i] for i in rng.choice(len(PLACES), 2, replace=False))
    return f"{first}省{second}县{pick(rng, ROADS)}路{int(rng.integers(1, 400))}号"


def company(rng: np.random.Generator) -> str:
    return (
        f"{pick(rng, PLACES)}市{''.join(GIVEN[i] for i in rng.integers(len(GIVEN), size=2))}{pick(rng, TRADES)}有限公司"
    )


def identity_check(first: str) -> str:
    """The 18th character of an identity number from its first 17 (GB 11643, ISO 7064 MOD 11-2)."""
    if len(first) != 17 or not first.isdigit():
        raise InputError(
            f"{first!r} is not the first 17 digits of an identity number", remedy="use 17 digits", field="id"
        )
    return "10X98765432"[sum(int(c) * w for c, w in zip(first, _WEIGHTS, strict=True)) % 11]


def identity_number(rng: np.random.Generator, birth: date, sex: str) -> Said:
    """18 characters: region (99…, given to nobody), the date of birth, sequence (odd for men), check."""
    sequence = int(rng.integers(0, 500)) * 2 + (1 if sex == "M" else 0)
    region = f"99{characters(rng, '0123456789', 4)}"
    when = Day("birth", f"{birth.year:04d}", f"{birth.month:02d}", f"{birth.day:02d}").said("plain")
    tail = f"{sequence:03d}"
    tail += identity_check(region + when.text + tail)
    own = tuple(f"personal_number:{i}" for i in range(18))
    return Said(region, own[:6]) + when + Said(tail, own[14:])


def credit_check(first: str) -> str:
    """The 18th character of a unified social credit code from its first 17 (GB 32100: weights 3^i modulo 31)."""
    try:
        total = sum(_CREDIT.index(c) * pow(3, i, 31) for i, c in enumerate(first))
    except ValueError:
        raise InputError(
            f"{first!r} holds a character that no code has", remedy=f"use {_CREDIT}", field="code"
        ) from None
    return _CREDIT[(31 - total % 31) % 31]


def credit_code(rng: np.random.Generator) -> str:
    """18 characters; the registering body is one that does not exist (Y9) and so is the region (99)."""
    first = f"Y999{characters(rng, '0123456789', 4)}{characters(rng, _CREDIT, 9)}"
    return first + credit_check(first)


def in_words(cents: int) -> str:
    """A sum of money (0 to 10^14 fen, less one) in the capitals that invoices write it in: 壹佰贰拾叁圆肆角伍分.

    Raises InputError for a sum outside that range.
    """
    if not 0 <= cents < 10**14:
        raise InputError(f"{cents} fen cannot be written", remedy="use 0 to 99999999999999", field="amount")
    digits, small = WORDS[:10], ("", "拾", "佰", "仟")
    yuan, jiao, fen = cents // 100, cents // 10 % 10, cents % 10
    text, gap = "", False
    for position in range(11, -1, -1):
        digit = yuan // 10**position % 10
        if digit:
            text += ("零" if gap and text else "") + digits[digit] + small[position % 4]
        gap = not digit if text else False
        if position % 4 == 0 and yuan // 10**position % 10**4 and position:
            text += ("", "万", "亿")[position // 4]
            gap = gap and bool(yuan % 10**position)
    text = f"{text}圆" if text else ""
    if not jiao and not fen:
        return f"{text or '零圆'}整"
    if jiao:
        text += f"{digits[jiao]}角"
    elif text:
        text += "零"
    return text + (f"{digits[fen]}分" if fen else "整")
