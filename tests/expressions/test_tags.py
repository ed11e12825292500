"""Tags in text: what is pasted, what stays, what waits and what is refused (semantics 2.5)."""

import functools
import json
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import environment, expr, tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ABSENT, MISSING, ChainScope, FlatScope
from tiphys.expressions.tags import NotYet, SubstitutionError, Unresolved

CHANCE = Chance(now=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), seed="seed")
KEEP, WAIT, FAIL = Unresolved.KEEP, Unresolved.WAIT, Unresolved.FAIL
VALUES = {
    "workflow.name": "wf",
    "workflow.parameters": '[{"name":"x","value":"1"}]',
    "workflow.parameters.x": "1",
    "workflow.parameters.json": '[{"name":"x","value":"1"}]',
    "workflow.labels.app.kubernetes.io/name": "demo",
    "inputs.parameters.n": "5",
    "inputs.parameters.my-param": "dashed",
    "inputs.parameters.empty": "",
    "inputs.parameters.tagged": "{{workflow.name}}",
    "inputs.parameters.quoted": 'say "hi"\n\\ <b>',
    "inputs.artifacts.data": {"name": "data", "s3": {"key": "k"}},
    "inputs.artifacts.data.path": "/tmp/data",
    "tasks.name": "me",
    "tasks.a.status": "Succeeded",
    "tasks.a.outputs.result": "done",
    "tasks.a.outputs.parameters.gone": ABSENT,
    "gone": ABSENT,
    "tasks.a.outputs.artifacts.file": {"name": "file"},
    "item": "two",
    "inputs.parameters.two": "2nd",
    "cronworkflow.failed": 3,
}


def render(text, unresolved=KEEP, **more):
    """What a JSON string with this text becomes, decoded again."""
    scope = FlatScope({**VALUES, **more})
    return json.loads(tags.compile(json.dumps(text)).render(scope, unresolved, CHANCE))


def render_text(text, scope, unresolved):
    """What a JSON text becomes."""
    return tags.compile(text).render(scope, unresolved, CHANCE)


def attempt(work):
    """The text, or why there is none."""
    try:
        return work()
    except SubstitutionError as error:
        return error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{workflow.name}}", "wf"),
        ("{{ workflow.name }}", "wf"),
        ("{{\tworkflow.name\n}}", "{{\tworkflow.name\n}}"),
        ("a {{workflow.name}}-{{inputs.parameters.n}} b", "a wf-5 b"),
        ("{{inputs.parameters.my-param}}", "dashed"),
        ("{{inputs.parameters.empty}}", ""),
        ("{{inputs.parameters.quoted}}", 'say "hi"\n\\ <b>'),
        ("{{workflow.parameters}}", '[{"name":"x","value":"1"}]'),
        ("{{inputs.artifacts.data.path}}", "/tmp/data"),
        ("{{inputs.parameters.tagged}}", "{{workflow.name}}"),
        ("{{inputs.parameters.{{item}}}}", "{{inputs.parameters.two}}"),
        ("{{a.{{b.{{item}}}}}}", "{{a.{{b.two}}}}"),
        ("{{{{item}}}}", "{{{{item}}}}"),
        ("{{ {{item}} }}", "{{ two }}"),
        ("{{inputs.parameters.{{ item }}}}", "{{inputs.parameters.{{ item }}}}"),
        ("{{unknown}}", "{{unknown}}"),
        ("{{ un known }}", "{{ un known }}"),
        ("{{}}", "{{}}"),
        ("{{ = workflow.name}}", "{{ = workflow.name}}"),
        ("{workflow.name} }} {{workflow.name}}", "{workflow.name} }} wf"),
        ("{{inputs.artifacts.data}}", "{{inputs.artifacts.data}}"),
        ("{{=workflow.name}}", "wf"),
        ("{{= workflow.name + '-' + item }}", "wf-two"),
        ("{{=asInt(inputs.parameters.n) + 1}}", "6"),
        ("{{=inputs.parameters['my-param']}}", "dashed"),
        ('{{=inputs.parameters["my-param"]}}', "dashed"),
        ("{{=inputs.parameters.quoted}}", 'say "hi"\n\\ <b>'),
        ("{{=inputs.parameters.n == '5'}}", "true"),
        ("{{=[1, 'a<b', nil]}}", '[1,"a\\u003cb",null]'),
        ("{{={'b': 1.0, 'a': 'x'} }}", '{"a":"x","b":1}'),
        ("{{=workflow.parameters.x}}", "1"),
        ("{{=workflow.parameters == workflow.parameters.json}}", "false"),
        ("{{=workflow.labels['app.kubernetes.io/name']}}", "demo"),
        ("{{=tasks.a.outputs.parameters.gone ?? 'default'}}", "default"),
        ("{{=inputs.parameters.empty ?? 'default'}}", ""),
        ("{{=inputs.parameters.nope ?? 'default'}}", "default"),
        ("{{=inputs.parameters?.nope ?? 'default'}}", "default"),
        ("{{=inputs.parameters.tagged}}", "{{workflow.name}}"),
        ("{{=cronworkflow.failed + 1}}", "4"),
        ("{{=inputs.artifacts.data.path}}", "/tmp/data"),
        ("{{=inputs.artifacts.data.s3.key}}", "k"),
        ("{{=inputs.parameters.n == '}' ? 'a' : 'b'}}", "b"),
        ("{{=toJson(inputs.parameters.quoted)}}", '"say \\"hi\\"\\n\\\\ \\u003cb\\u003e"'),
    ],
)
def test_what_is_known_is_pasted_once(text, expected):
    assert render(text) == expected


def test_values_are_replaced_one_level_for_each_stage():
    first = render("{{inputs.parameters.tagged}} {{inputs.parameters.{{item}}}}")
    assert first == "{{workflow.name}} {{inputs.parameters.two}}"
    assert render(first) == "wf 2nd"


def test_a_tag_ends_at_the_next_closing_braces_wherever_they_are():
    with pytest.raises(SubstitutionError, match="failed to evaluate expression"):
        render("{{='a}}b'}}")
    scope = FlatScope({"x": "1"})
    text = '{"a":{"b":"{{x"},"c":"}}"}'
    assert tags.compile(text).names == ('x"},"c":"',)
    assert tags.compile(text).render(scope, KEEP, CHANCE) == text


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{{tasks.b.outputs.result}}", "tasks.b.outputs.result"),
        ("{{ steps.x.status }}", "steps.x.status"),
        ("{{=tasks.b.outputs.result}}", "tasks.b.outputs.result"),
        ("{{=asInt(tasks.b.outputs.result) > 1 ? item : 'x'}}", "tasks.b.outputs.result"),
        ("{{=steps['x-1'].outputs.result ?? 'd'}}", "steps.x-1.outputs.result"),
    ],
)
def test_results_that_are_not_there_yet_are_waited_for_only_where_the_stage_waits(text, key):
    assert render(text, KEEP) == text
    with pytest.raises(NotYet) as caught:
        render(text, WAIT)
    assert caught.value.key == key
    wording = f"failed to evaluate expression: {key} is missing" if text.startswith("{{=") else f"failed to resolve {text}"
    assert str(caught.value) == wording
    with pytest.raises(SubstitutionError) as refused:
        render(text, FAIL)
    assert str(refused.value) == wording


@pytest.mark.parametrize(
    "text",
    [
        "{{tasks.b.outputs.artifacts.file}}",
        "{{tasks.a.outputs.artifacts.file}}",
        "{{inputs.parameters.nope}}",
        "{{=inputs.parameters.nope}}",
        "{{=inputs.parameters.nope + 'x'}}",
        "{{=nowhere.x == 'x'}}",
        "{{=nowhere ?? 'x'}}",
        "{{=retries}}",
        "{{=asInt(retries) == 0 ? 'first' : 'again'}}",
        "{{=lastRetry.exitCode == '1'}}",
        "{{=lastRetry?.message ?? ''}}",
        "{{=workflow.status == 'Succeeded' ? 1 : 2}}",
        "{{=workflow.failures ?? 'none'}}",
        "{{=workflow?.status ?? 'none'}}",
    ],
)
def test_what_a_later_stage_may_know_is_kept(text):
    assert render(text, KEEP) == text
    assert render(text, WAIT) == text
    with pytest.raises(SubstitutionError):
        render(text.replace(" ?? 'none'", "").replace(" ?? ''", "").replace("?.", "."), FAIL)


def test_item_is_waited_for_until_expansion():
    scope = FlatScope({"workflow.name": "wf"})
    for text in ("{{=item}}", "{{=item.k ?? 'x'}}", "{{=fromJSON(item).k}}", "{{=workflow.name + item}}"):
        assert tags.compile(json.dumps(text)).render(scope, WAIT, CHANCE) == json.dumps(text)
    assert render("{{=item.k ?? 'x'}}", FAIL, **{"item.k": "v"}) == "v"
    assert render("{{=fromJSON(item).k}}", FAIL, item='{"k":"v"}') == "v"


def test_guarded_members_of_an_unknown_task_are_kept_where_tasks_are_not_in_scope_yet():
    assert render("{{=tasks.b?.outputs?.result ?? 'd'}}", KEEP) == "{{=tasks.b?.outputs?.result ?? 'd'}}"
    assert render("{{=tasks.b?.outputs?.result ?? 'd'}}", WAIT) == "d"
    assert render("{{=tasks.a.outputs.parameters.other ?? 'd'}}", KEEP) == "d"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{unknown}}", "failed to resolve {{unknown}}"),
        ("{{ item.k }}", "failed to resolve {{ item.k }}"),
        ("{{inputs.parameters.{{nope}}}}", "failed to resolve {{inputs.parameters.{{nope}}"),
        ("{{tasks.b.outputs.artifacts.file}}", "failed to resolve {{tasks.b.outputs.artifacts.file}}"),
        ("{{cronworkflow.failed}}", "failed to resolve {{cronworkflow.failed}} to string"),
        ("{{inputs.artifacts.data}}", "failed to resolve {{inputs.artifacts.data}} to string"),
        ("{{=nope.x}}", "failed to evaluate expression: nope.x is missing"),
        ("{{=retries}}", "failed to evaluate expression: retries is missing"),
    ],
)
def test_strict_stages_refuse_what_is_left_over(text, message):
    with pytest.raises(SubstitutionError) as caught:
        render(f"x {text} y", FAIL)
    assert str(caught.value) == message
    assert caught.value.offset == 3
    assert caught.value.caret() == f' | "x {text} y"\n | ...^'


@pytest.mark.parametrize("unresolved", Unresolved)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x-{{tasks.a.outputs.parameters.gone}}",
            "unable to substitute {{tasks.a.outputs.parameters.gone}}: output is an absent optional (skipped/omitted node with no default)",
        ),
        (
            "{{x.{{gone}}}}",
            'unable to substitute nested tag {{x.{{gone}}: "gone" is an absent optional',
        ),
    ],
)
def test_what_can_never_be_resolved_is_refused_at_every_stage(text, message, unresolved):
    with pytest.raises(SubstitutionError) as caught:
        render(text, unresolved)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{=tasks.a.outputs.parameters.gone}}", 'failed to evaluate expression "tasks.a.outputs.parameters.gone"'),
        ("{{=nil}}", 'failed to evaluate expression "nil"'),
        ("{{=1.0 / 0}}", "failed to marshal evaluated expression: json: unsupported value: +Inf"),
    ],
)
def test_expressions_without_a_value_are_refused_where_nothing_can_become_known(text, message):
    assert render(text, KEEP) == text
    for unresolved in (WAIT, FAIL):
        with pytest.raises(SubstitutionError) as caught:
            render(text, unresolved)
        assert str(caught.value) == message


@pytest.mark.parametrize("text", ["{{=1 +}}", "{{=inputs.parameters.n + 1}}", "{{=asInt('x')}}", "{{=inputs.parameters['{{item}}']}}"])
def test_expressions_that_fail_are_refused_with_their_own_caret(text):
    with pytest.raises(SubstitutionError) as caught:
        render(text, WAIT)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("failed to evaluate expression: ")
    assert rest[-1].endswith("^")


@pytest.mark.parametrize("unresolved", Unresolved)
def test_what_is_no_expression_is_refused_at_every_stage(unresolved):
    with pytest.raises(SubstitutionError, match="failed to evaluate expression"):
        render("{{=1 +}}", unresolved)


def test_the_source_of_an_expression_is_json():
    with pytest.raises(SubstitutionError, match="failed to unmarshall JSON expression"):
        tags.compile('{"a":"{{=1","b":"2}}"}').render(FlatScope({}), KEEP, CHANCE)
    assert tags.compile('"{{=\\"a\\\\nb\\"}}"').render(FlatScope({}), KEEP, CHANCE) == '"a\\nb"'


@pytest.mark.parametrize("text", ["{{", "a {{b", "{{a}} {{b", "{{a}} {{b } }"])
def test_tags_that_never_end_are_refused(text):
    with pytest.raises(SubstitutionError) as caught:
        tags.compile(json.dumps(text))
    assert str(caught.value).startswith('unable to parse argo variable: Cannot find end tag="}}" starting from "{{')
    assert caught.value.offset == text.rindex("{{") + 1


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x0b", "\x1b", "\x1f", "\x7f", "\ud800"])
def test_control_characters_make_the_result_no_json(character):
    for text in ("{{x}}", "{{a.{{x}}}}"):
        with pytest.raises(SubstitutionError, match="cannot finish template replacement because the result was invalid JSON"):
            render(text, x=f"a{character}")
    if character < "\x80":
        assert render("{{=x}}", x=f"a{character}") == f"a{character}"


def test_the_same_chance_gives_the_same_text_and_tags_differ():
    text = "{{=sprig.uuidv4()}} {{=sprig.uuidv4()}}"
    first, second = render(text).split()
    assert render(text).split() == [first, second]
    assert first != second


def test_plain_text_is_pasted_raw():
    scope = FlatScope(VALUES)
    assert tags.render_plain("{{inputs.parameters.quoted}}", scope, KEEP, CHANCE) == VALUES["inputs.parameters.quoted"]
    assert tags.render_plain('{{=inputs.parameters.quoted + "!"}}', scope, KEEP, CHANCE) == VALUES["inputs.parameters.quoted"] + "!"
    assert tags.render_plain("{{=[1, 'a\"']}}", scope, KEEP, CHANCE) == '[1,"a\\""]'
    assert tags.render_plain("{{x}}", FlatScope({"x": "\x1b"}), KEEP, CHANCE) == "\x1b"
    assert tags.render_plain("{{x}} {{unknown}}", FlatScope({"x": "a"}), KEEP, CHANCE) == "a {{unknown}}"
    assert tags.render_plain("no tags", scope, FAIL, CHANCE) == "no tags"
    assert tags.render_plain("{{a.{{item}}}}", scope, KEEP, CHANCE) == "{{a.two}}"
    with pytest.raises(SubstitutionError):
        tags.render_plain("{{x", scope, KEEP, CHANCE)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{a}}", "a"),
        ("{{ a.b-c }}", "a.b-c"),
        ("{{}}", ""),
        (" {{a}}", None),
        ("{{a}} ", None),
        ("{{a}}{{b}}", None),
        ("{{=a}}", None),
        ("{{ =a}}", "=a"),
        ("{{a.{{b}}}}", None),
        ("{{a}}}", None),
        ("{{}", None),
        ("{{{a}}", "{a"),
        ("", None),
    ],
)
def test_sole_tags(text, name):
    assert tags.sole_tag(text) == name


def test_what_a_compiled_text_says_of_itself():
    tagged = tags.compile('"{{a}} {{ b.c }} {{a}} {{=x + \\"y\\"}} {{p.{{q}}}}"')
    assert tagged.names == ("a", "b.c", "q")
    assert tagged.expressions == ('x + "y"',)
    assert not tagged.plain
    assert tags.compile('"}} {"').plain
    assert tags.compile("").plain


def test_compiled_texts_are_kept():
    assert tags.compile('"{{kept}}"') is tags.compile('"{{kept}}"')


def test_errors_survive_being_sent_elsewhere():
    with pytest.raises(SubstitutionError) as caught:
        render("{{x}}", FAIL)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.caret()) == (str(caught.value), caught.value.caret())
    missing = pickle.loads(pickle.dumps(NotYet("k", "m")))
    assert (missing.key, str(missing)) == ("k", "m")


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 500_000,
        "{{a}}" * 100_000,
        "{{big}}" * 1_000,
        "{{a.{{" * 100_000 + "}}",
        "{{=" + "(" * 100_000 + "}}",
        "{{=" + "a." * 50_000 + "a}}",
        "{{=" + "!" * 50_000 + "a}}",
    ],
    ids=lambda text: text[:6],
)
def test_hostile_text_ends_in_a_text_or_an_error(text):
    scope = FlatScope({"a": "1", "big": "x" * 1_000_000})
    found = attempt(lambda: tags.compile(json.dumps(text)).render(scope, KEEP, CHANCE))
    assert len(found) <= tags.MOST_TEXT if isinstance(found, str) else len(str(found)) < 2_000


without_tags = st.text().filter(lambda text: "{{" not in text)
names = st.text(alphabet="abc.-_0 ", min_size=1, max_size=12)
values = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"])) | st.sampled_from(["\n", "\t", '"', "\\", "{{a}}", "}}", "{{"])


@given(without_tags, st.sampled_from(Unresolved))
def test_text_without_tags_stays_as_it_is(text, unresolved):
    assert tags.compile(text).render(FlatScope({}), unresolved, CHANCE) == text
    assert tags.render_plain(text, FlatScope({}), unresolved, CHANCE) == text


@given(st.lists(st.tuples(without_tags.filter(lambda text: "{" not in text and "}" not in text), names)))
def test_unknown_simple_tags_stay_as_they_are(parts):
    text = "".join(f"{before}{{{{{name}}}}}" for before, name in parts)
    assert tags.compile(text).render(FlatScope({}), KEEP, CHANCE) == text


@given(st.dictionaries(names.map(str.strip).filter(bool), values, max_size=5), st.lists(st.text(alphabet="xyz "), min_size=6, max_size=6))
def test_pasting_keeps_json_valid_and_values_whole(known, between):
    text = "".join(f"{part}{{{{{name}}}}}" for part, name in zip(between, known, strict=False)) + between[-1]
    expected = "".join(f"{part}{value}" for part, value in zip(between, known.values(), strict=False)) + between[-1]
    assert json.loads(tags.compile(json.dumps(text)).render(FlatScope(known), FAIL, CHANCE)) == expected
    assert tags.render_plain(text, FlatScope(known), FAIL, CHANCE) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(values, inner, max_size=3),
    )
)
def test_any_json_document_stays_valid(document):
    text = json.dumps(document)
    try:
        rendered = tags.compile(text).render(FlatScope({"a": 'quote " and \\ and\nnew line'}), KEEP, CHANCE)
    except SubstitutionError:
        return
    json.loads(rendered)


@given(st.text(alphabet="{}=a.b '\"\\?|1+", max_size=25))
def test_any_text_is_rendered_or_refused(text):
    scope = FlatScope({"a": "1", "a.b": "2"})
    for unresolved in Unresolved:
        raw = attempt(functools.partial(tags.render_plain, text, scope, unresolved, CHANCE))
        assert isinstance(raw, str) or raw.offset <= len(text)
        found = attempt(functools.partial(render_text, json.dumps(text), scope, unresolved))
        assert isinstance(json.loads(found), str) if isinstance(found, str) else found.offset <= len(json.dumps(text))


def test_scopes_answer_for_keys_and_for_prefixes():
    store = {"a.b": "1", "a.c.d": "2", "ab": "3", "a": "4"}
    scope = FlatScope(store)
    assert scope.get("a.b") == "1"
    assert scope.get("a.c") is MISSING
    assert scope.under("a") == {"a": "4", "a.b": "1", "a.c.d": "2"}
    assert scope.under("a.c") == {"a.c.d": "2"}
    assert scope.under("zz") == {}
    store["a.a"] = "5"
    store.update({f"more.{index}": "x" for index in range(40)})
    store["a.z"] = ABSENT
    assert scope.under("a") == {"a": "4", "a.a": "5", "a.b": "1", "a.c.d": "2", "a.z": ABSENT}
    chain = ChainScope(FlatScope({"a.b": "first", "own": ABSENT}), scope)
    assert chain.get("a.b") == "first"
    assert chain.get("own") is ABSENT
    assert chain.get("ab") == "3"
    assert chain.get("nope") is MISSING
    assert chain.under("a")["a.b"] == "first"
    assert chain.under("a")["a.c.d"] == "2"


@given(st.lists(st.tuples(st.text(alphabet="ab.", max_size=6), st.booleans()), max_size=30), st.text(alphabet="ab.", max_size=4))
def test_prefixes_agree_with_a_plain_search_while_keys_come(steps, prefix):
    store = {}
    scope = FlatScope(store)
    for key, look in steps:
        store[key] = key
        if look:
            assert scope.under(prefix) == {name: name for name in store if name == prefix or name.startswith(prefix + ".")}


def test_environments_hold_what_a_program_reads_and_leave_the_scope_alone():
    artifact = {"name": "data"}
    scope = FlatScope(
        {"i.a": artifact, "i.a.path": "/p", "i.b": "text", "i.b.c": "inner", "w.n": "wf", "w.x": ABSENT, "other.key": "unread"}
    )
    program = expr.compile("[i, w.n, w.x, w.missing, nowhere.at.all]")
    assert environment.nested(program, scope) == {
        "i": {"a": {"name": "data", "path": "/p"}, "b": {"c": "inner"}},
        "w": {"n": "wf", "x": None},
    }
    assert artifact == {"name": "data"}
    assert environment.present(("i", "a", "name"), scope)
    assert not environment.present(("i", "a", "nope"), scope)
    assert environment.present(("w", "x"), scope)
    assert not environment.present(("w", "x", "deeper"), scope)
    assert not environment.present(("w", "missing"), scope)
