"""Pickles are read as data: of all versions of pandas since 1.0, damaged ones, and forged ones, which run no code."""

from __future__ import annotations

import base64
import os
import pickle
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.safe_pickle import read_pickle
from audioinceptionnext.errors import AinextError
from tests.data_files import epic_hdf5

# Pickles: tables of two rows, written by pandas 1.3.5 (annotation_id as index), 1.5.3, and 3.1.1 where text is Arrow's;
# protocol 4.

OLD = {
    "1.3.5": (
        "c-oy*&2G~`5YB%S8p4kR1%Xf`4x|_39FPz~szeYHSOmm9G8=naue#o~ylYA&D&UaPNPFvW<G`cvD7*>GuA4N4o@&|N8P9m;o7r#nOXK^"
        "GM#Wv`T1G@nlo!dIdfPckDVWZ4qR9&<AH(KXIDmm^gy~KW=H9A16Po6NaOI^$kR6&UFx_WdM!T;|9e*E~&UPUpEhR_mT1Ils2uFjtdw!"
        "^?{U2RBg6@S*LFXB~gF({UJOI-WF-sw+sj-Hsxgm-)+b?6J1;^NVPWBN-nA1oKrSl@vHe1s<A_C0mT#g~A%wSZV!Z#Z{s0NLob_mIaX~"
        "ud#v!$Ebo5wIeD(!Vs{RHFj_|+f0+$-2Z1oH`&SbyseA$ee$xP~YVOxO3HxZ4~0J}lLt=dY^1_vozEs?^rio)!$N5!i^P;w+*LFG8$ZG"
        ">7;k>q+mlEy?whjwCme+qSUe&Z4ZEE30p6>`XCF|0$+oiy8IbcS>UXnw0BruUvncas`{iM<A^WL%HvIRwXbtU71nQf7p+>R7kv5UMS6}"
        "YXK%{1?>wYsk$Uv^U>9M3Au8@^#%5J&^ZmO!GgJUmWwg{NRf%eV!9MsBEGcWa1Rn@nhV*DMU0~Y|AXkv7IpR<<s*g}bjV^b?GG%b(ur4"
        ";Mq{X1N>NHPFg>MZw)&x4x+qkzF=pM_ms(6!l(S4TDUc`;CkhGEcB@U`sMHX4kjI5<;%<^6>_nckH%r88j>RDo^F$h!8}iv)CPGL}Y&s"
        "j>g{1a{#{<p`4y|p+;uHx}s)_5*1i=xl@qEAmZiU;N>^O0Qa4z>$7#A6GoM;+yGNpJ>9I0aJ{RNYMwww"
    ),
    "1.5.3": (
        "c-n1KUu)Dr5YPSV_0QQ-L_HCtkM$+ypoJoWU`4dSQ~O@lO|rc#O*Ub7V?D5-57rj;t>e2N#gF1Q(b-L|UTv3<nc4l#&dhITzI1=Q?|N>"
        "T^^%H&DnBkH^A9D>8JMLPRMVGEzko+y;RH5Km*f)(=HWb?3(cgUneuZg=!8iHX7D^K;-fdUjqc`d<3TbWsedkD)<`8v9v@|lMApZG?}#"
        "cdr}gc5m1$0;q*J_=NER1DX<5bE0(%Y!rjK_!$OVMnH`r}O@E!JHGi-&Ouzd>Yn&~BaTG~oXoA1E+S$*Cyt*0;^kN5uIa=*~i5S{M^AC"
        "_urejU{Ew_nSjrk0&rcnyOdpj*0{uG{$O?aSzBJUHJS_8QbeBbVm9!nQ@HE7!gIF885nzrB+2=l?Q(W-~s(*Xh3tMr1?+m}w(09n>J*G"
        "Cj8g>9!dJ!4voSqX3~ZbL0o}X5epMJ#}V_!q^Ool8KGS8*x@B?2`pqDV;H3H!{$#8Q5tG_F9c>dpGmgZ{*@NhEBoOIK0|=3H!v9A5ojg"
        "G7;>UytaGz&gm=Do9V7~6KrR=p5QVXzN7CJ6{65o^Fk1wfLSf6)I8=GQM--Bk33<8Q`eNnL!x=kP|Hh1D_xZH8-p66&_H&~iaWow5~gC"
        "wOB)RPIL@fTVOVt12C!tBuCT*5u1;-#?3w#Fl`g56*xL84oU1n_W7BgP;7FLR4Gv-3Dh!pDyOY@;&NNO2j=SY&Hu@xInmWP`FgvO>4)q"
        "B>H95@a#HsgamKDc}BvqO5m}*8c8Zn&cGgU?YUns7B_5"
    ),
    "3.1.1, with pyarrow": (
        "c-p;IOK%e~5YFb&HhqLrp%RHlD{%>zB|%gm!~sYJf`tgd0WOvC?mF?do88sgOUVHN2cVUF!`wN85J#^36n;i;F!nm7DG?%4#VYaV$Bg}r$K&y<@`"
        "t^dg8sx*f+HU@DXQz3<69~26Zu}Ae=T3ghA5+cFO}kKE@OLfO6(xwB#m&$>^_cgkEEbGe>04|t^0W!)Ei>isGu-#*>4>wj-f0{0&goM$W=-pEf$P"
        "0PE$MpnZ+Av8gD=1X%O{psJ`Efswlxo%Skbp46qWkVGSv2C?$*oLo*C4=#r@MK|)YBP7w|RFcVgr4{_Qfi0SF&8~IQ=MW^5tHe{m%8r5Wg+^pNxh"
        "KLzA3ql@5YJ=PXC&Rhh^@91P4b}|m8P%VjrYr5*gJui0P&0?t{vg?q9j<F)3i*npqy;gT+q|yZu==#IP~LvIm(Tt-*YL1M32aE_(lesM!oXAVV1?"
        "ya@3cj#q;s^E?;AZ%Pc-QA-)&cX_suF9oEmG^6xaj5G3HR4Hfd{wFTJFRUIuc-qoP+aI6Ic!tln;2Oh~cll#YtxyutcdiuGpms{YxnX4BMLHq<60"
        "Tyo0)oABBJ!fO)~E<2S`!eTkf`pLjX`g-YS5N;;G=OLuMI0EXK$5lL3v?Rm@To)z~ox&U0wp^*^YQPCAImNe<eijvf7(~V3irn4F$4kPxCOe(Z-J"
        "kI3!YOd+?zWpxt2x*28#(^4bNnbq<Dop<98ja5=ohs<{kp$8G`{V&>y<;%Q$3(Hk)tf_DD42tI^>X{->gG8DrVsc9W?FC9QBD>8p~`cPDr$RVbu#"
        "`M$(M&kW5H*#;G2p$|X<`_0eqQljnrlE@niESrn0NbVv2U$$$&DGOX)t=R*dR|6uLxh_z3K)-D)4W$>KAiw3V7yl3#SLDyi<U_5rWVjM*=$2^E56"
        "!-~FdEf<LDu>pyz$Y;v<Is(G(1%Qj`w67O<X}q;GN^?_kK|RKFfR=fHLn+9#&iL5P2vhsj?}xMlc}!F5*)<M3KX!5o6~@Q#z`@clf}bFSjETY3bg"
        "X6h)#E91fdN1SGlLFA1Lq)=o5~$zc%1nz?{P~<b}$N-4OS5^&}3%c$*<VOCUXBPEd$l0#A?~mbvyXxFh5+"
    ),
}


@pytest.mark.parametrize("version", OLD)
def test_pickles_of_old_pandas(tmp_path: Path, version: str) -> None:
    (tmp_path / "EPIC_Sounds_train.pkl").write_bytes(zlib.decompress(base64.b85decode(OLD[version])))
    epic_hdf5(tmp_path / "a.hdf5", P01_1=40_000)
    found = load_dataset("epic-sounds", tmp_path)
    assert [(c.id, c.label, c.start, c.end) for c in found.clips] == [
        ("P01_1_0", 3, 0.1, 0.5),
        ("P01_1_1", 4, 1.0, 1.5),
    ]


class Forged:
    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_forged_pickle_runs_no_code(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "a.pkl", tmp_path / "trace"
    calls = [
        Forged(os.system, f"touch {trace}"),
        Forged(eval, f"open({str(trace)!r}, 'w')"),
        Forged(getattr, "", "join"),
        Forged(pandas.eval, "1 + 1"),
        Forged(pandas.read_pickle, str(path)),
        Forged(np.load, str(path)),
        Forged(Path, "/"),
    ]
    for call in calls:
        path.write_bytes(pickle.dumps({"annotation_id": ["a"], "x": call}, protocol))
        with pytest.raises(AinextError, match=r"a\.pkl: asks to run .*not read") as caught:
            read_pickle(path)
        assert "\n" not in str(caught.value)
    # By an attribute of an allowed class, and by a codec of the attacker's choice.
    path.write_bytes(b"\x80\x04\x8c\x06pandas\x8c\x0fDataFrame.query\x93.")
    with pytest.raises(AinextError, match="asks to run"):
        read_pickle(path)
    path.write_bytes(b"\x80\x04\x8c\x07_codecs\x8c\x06encode\x93\x8c\x01a\x8c\x04evil\x86R.")
    with pytest.raises(AinextError):
        read_pickle(path)
    assert not trace.exists()


def test_pickles_of_values_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    values = {
        "interaction_output": np.arange(6, dtype=np.float32).reshape(2, 3),
        "annotation_id": np.array(["a", "b"], dtype=object),
        "more": [{"x": np.float64(1.5), "y": (1, 2.0, None, True, b"z", {3}), "z": np.array(["ü"])}],
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(values, protocol))
        found = read_pickle(path)
        np.testing.assert_array_equal(found["interaction_output"], values["interaction_output"])
        assert list(found["annotation_id"]) == ["a", "b"]
        assert found["more"][0]["y"] == (1, 2.0, None, True, b"z", {3}) and found["more"][0]["x"] == 1.5
    whole = path.read_bytes()
    for damaged in (b"", b"annotation_id,x\n", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(AinextError, match="not a pickle, or damaged"):
            read_pickle(path)
    with pytest.raises(AinextError, match="cannot be opened"):
        read_pickle(tmp_path / "none.pkl")


def test_tables_of_this_pandas(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    table = pandas.DataFrame({"a": ["x", None, "z"], "b": [1, 2, 3], "c": [0.5, 1.5, 2.5], "d": [True, False, True]})
    table["e"] = table["a"].astype(object)
    for given in (table, table.set_index("b"), table.iloc[::2], table.rename(columns={"a": 7}), table[[]]):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            path.write_bytes(pickle.dumps([given, given.get("d", given.index)], protocol))
            found, column = read_pickle(path)
            assert list(found.columns) == list(given.columns) and found.index.name == given.index.name
            assert found.index.tolist() == given.index.tolist()
            for name in given.columns:
                assert [None if x != x else x for x in found[name]] == [None if x != x else x for x in given[name]]
            assert len(column) == len(given)
    path.write_bytes(pickle.dumps(table.astype({"a": "category"})))
    with pytest.raises(AinextError, match=r"Categorical.*save it as CSV"):
        read_pickle(path)


def test_damaged_pickles_are_reported(tmp_path: Path) -> None:
    """Some of these make pandas and numpy themselves end the process."""
    path, chance = tmp_path / "a.pkl", random.Random(0)
    table = pandas.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    values = {"x": np.arange(4.0), "y": np.array(["a", "b"], dtype=object), "z": np.float32(1)}
    whole = [pickle.dumps(what, protocol) for what in (table, values) for protocol in (2, 4, 5)]
    whole += [zlib.decompress(base64.b85decode(text)) for text in OLD.values()]
    read = 0
    for _ in range(600):
        bad = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 3)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        path.write_bytes(bad)
        try:
            read_pickle(path)
            read += 1
        except AinextError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert 0 < read < 300
