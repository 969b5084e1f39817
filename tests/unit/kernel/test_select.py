import pytest

from exporter.kernel.jmes import SelectError, compile_path

DOCUMENT = {
    "data": {
        "metrics": {"apiCalls": {"used": 5}, "GB-hours (total)": {"used": 7}},
        "rows": [{"v": 1}, {"v": 2}],
        "none": None,
        "zero": 0,
    }
}


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("data", ("data",)),
        ("data.metrics.apiCalls", ("data", "metrics", "apiCalls")),
        ('data."GB-hours (total)".used', ("data", "GB-hours (total)", "used")),
        ('"\\u0061.b"', ("a.b",)),
        (" data . metrics ", ("data", "metrics")),
        ("data.rows[0]", None),
        ("data.rows[].v", None),
        ("*", None),
        ("@", None),
        ("a || b", None),
        ("a.[b, c]", None),
        ("length(a)", None),
        ("a.length(b)", None),
    ],
)
def test_only_dotted_keys_are_plain(path: str, plain: tuple[str, ...] | None) -> None:
    assert compile_path(path).plain == plain


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("data.metrics.apiCalls.used", 5),
        ('data.metrics."GB-hours (total)".used', 7),
        ("data.zero", 0),
        ("data.none", None),
        ("data.none.deeper", None),
        ("data.zero.deeper", None),
        ("data.rows.v", None),
        ("missing.deeper", None),
        ("data.rows[].v", [1, 2]),
        ("data.rows[?v > `1`].v | [0]", 2),
        ("sum(data.rows[].v)", 3),
    ],
)
def test_a_path_leads_to_what_is_there_or_to_none(path: str, found: object) -> None:
    assert compile_path(path)(DOCUMENT) == found


@pytest.mark.parametrize("document", [None, 5, "text", [], [{"data": 1}], True])
def test_a_document_that_is_no_map_has_nothing_at_a_key(document: object) -> None:
    assert compile_path("data")(document) is None


def test_items_turns_a_map_into_rows_in_its_order() -> None:
    assert compile_path("items(m)")({"m": {"b": 1, "a": {"x": None}}}) == [
        {"key": "b", "value": 1},
        {"key": "a", "value": {"x": None}},
    ]


def test_an_empty_map_has_no_items_and_an_absent_one_is_not_empty() -> None:
    assert compile_path("items(m)")({"m": {}}) == []
    assert compile_path("items(m)")({"m": None}) is None
    assert compile_path("items(m)[?value]")({}) is None


def test_items_can_be_filtered_and_projected() -> None:
    document = {"m": {"a": {"used": 1}, "b": 2}}
    path = compile_path("items(m)[?type(value) == 'object'].[key, value.used]")
    assert path(document) == [["a", 1]]


def test_zip_pairs_two_lists_and_the_shorter_wins() -> None:
    assert compile_path("zip(a, b)")({"a": [1, 2, 3], "b": ["x", "y"]}) == [[1, "x"], [2, "y"]]
    assert compile_path("zip(a, b)")({"a": [1], "b": []}) == []


def test_zip_of_a_list_that_is_absent_is_absent() -> None:
    assert compile_path("zip(a, b)")({"a": [1]}) is None
    assert compile_path("zip(a, b)")({"b": [1]}) is None


@pytest.mark.parametrize(
    ("path", "document", "reason"),
    [
        ("[?v > `1`]", [{"v": "2"}], "'>' not supported between instances of 'str' and 'int'"),
        ("sum(@)", ["12.50"], "sum() takes array-number, and that is not what is here."),
        ("max_by(@, &v)", [{"v": 1}, {"v": None}], "max_by() takes "),
        ("items(@)", [1], "items() takes object or null, and that"),
        ("zip(@, a)", {}, "zip() takes array or null, and that"),
    ],
)
def test_whatever_a_search_raises_is_a_select_error(
    path: str, document: object, reason: str
) -> None:
    with pytest.raises(SelectError) as caught:
        compile_path(path)(document)
    assert str(caught.value).startswith(f'"{path}" cannot be searched for here: {reason}')


def test_a_document_too_deep_to_compare_is_a_select_error() -> None:
    left: list[object] = []
    right: list[object] = []
    for _ in range(200_000):  # some Pythons go deeper than others
        left, right = [left], [right]
    with pytest.raises(SelectError, match="recursion"):
        compile_path("a == b")({"a": left, "b": right})


def test_a_reason_with_a_huge_value_is_clipped() -> None:
    with pytest.raises(SelectError) as caught:
        compile_path("sum(@)")(["x" * 100_000])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("path", "column", "reason"),
    [
        ("", 1, "it is empty."),
        ("a.", 3, "it ends too early."),
        ("a[", 3, "it ends too early."),
        ("a..b", 3, "'.' does not fit there."),
        ("a b", 3, "'b' does not fit there."),
        ("a.$", 3, "Unknown token $."),
        ("items(a)[?b == `text`]", 16, "write text as 'word', other values as `1`."),
        ("a | foo(@)", 5, 'there is no function "foo". Did you mean "floor"?'),
        ("{x: itmes(@)}", 5, 'there is no function "itmes". Did you mean "items"?'),
        ("map(&quux(@), a)", 6, 'there is no function "quux". Known: abs, avg, ceil,'),
        ("length()", 1, "length() takes 1 argument(s), not 0."),
        ("zip(a)", 1, "zip() takes 2 argument(s), not 1."),
        ("not_null()", 1, "not_null() takes at least 1 argument(s), not 0."),
    ],
)
def test_a_broken_path_is_refused_with_its_column_and_reason(
    path: str, column: int, reason: str
) -> None:
    with pytest.raises(ValueError, match="is not a path") as caught:
        compile_path(path)
    assert str(caught.value).startswith(f'"{path}" is not a path: column {column}: {reason}')


def test_a_blank_path_is_empty() -> None:
    with pytest.raises(ValueError, match="column 1: it is empty"):
        compile_path("  ")


def test_a_path_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a path"):
        compile_path("(" * 10_000 + "a" + ")" * 10_000)


def test_a_function_with_more_arguments_than_it_needs_may_take_them() -> None:
    assert compile_path("not_null(a, b, c)")({"c": 3}) == 3


def test_selectors_of_one_text_are_equal_and_cannot_be_changed() -> None:
    selector = compile_path("a.b")
    compile_path.cache_clear()
    assert selector == compile_path("a.b")
    assert hash(selector) == hash(compile_path("a.b"))
    assert selector != compile_path("a.c")
    assert selector != "a.b"
    assert repr(selector) == "Selector('a.b')"
    with pytest.raises(AttributeError, match="cannot be changed"):
        selector.text = "b"


@pytest.mark.parametrize(
    ("path", "heads"),
    [
        ("root.x", {"root"}),
        ("`1`", set()),
        ("d.a || root.b", {"d", "root"}),
        ("items(@)", {"@"}),
        ("[0].a", {"@"}),
        ("@.root.x", {"@"}),
        ("root.rows[?id==`1`].v | [0]", {"root"}),
        ("sum([d.a, root.b])", {"d", "root"}),
        ("max_by(root.l, &x).y", {"root"}),
        ("{a: d.x, b: `2`}", {"d"}),
    ],
)
def test_a_path_knows_which_keys_it_begins_with(path: str, heads: set[str]) -> None:
    assert compile_path(path).heads == heads
