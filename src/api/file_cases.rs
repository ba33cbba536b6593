//! Files with what kubectl reads in them, for the tests of [`manifest`](super::manifest) and for the integration tests, which ask
//! kubectl itself.

use serde_json::{Value, json};

/// A file, and the `spec` of each object in it, in order.
pub struct FileCase {
    /// What is special about it.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The specs.
    pub specs: Vec<Value>,
}

const HEAD: &str = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {name: a}\n";

/// One object of our kind, its spec as YAML in block style, without indentation.
fn object(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect();
    format!("{HEAD}spec:\n{spec}")
}

fn units(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn entries(found: &[(&'static str, &str, Value)], cases: &mut Vec<FileCase>) {
    for (what, spec, value) in found {
        cases.push(FileCase { what, bytes: object(spec).into_bytes(), specs: vec![value.clone()] });
    }
}

/// All of them.
pub fn cases() -> Vec<FileCase> {
    let mut cases = Vec::new();
    let (one, two) = (object("a: 1"), object("a: 2"));
    let json_one =
        r#"{"apiVersion":"pollinator.dev/v1alpha1","kind":"ConnectorInstance","metadata":{"name":"a"},"spec":{"a":1}}"#;
    let (first, both) = (vec![json!({"a": 1})], vec![json!({"a": 1}), json!({"a": 2})]);
    let escaped = [json!({"a": "🐝/"})];
    let crlf = one.replace('\n', "\r\n");
    let tabs = "{\n\t\"apiVersion\": \"pollinator.dev/v1alpha1\",\n\t\"kind\": \"ConnectorInstance\",\n\t\"metadata\": {\"name\": \"a\"},\n\
                \t\"spec\": {\n\t\t\"a\": 1\n\t}\n}\n\t\n";
    let whole: Vec<(&'static str, Vec<u8>, &[Value])> = vec![
        ("plain", one.clone().into(), &first),
        ("no newline at the end", one.trim_end().into(), &first),
        ("CRLF", crlf.clone().into(), &first),
        ("a mark of UTF-8", format!("\u{feff}{one}").into(), &first),
        ("a mark and CRLF", format!("\u{feff}{crlf}").into(), &first),
        ("a mark before ---", format!("\u{feff}---\n{one}").into(), &first),
        ("UTF-16, little end first", units(&format!("\u{feff}{crlf}"), u16::to_le_bytes), &first),
        ("UTF-16, big end first", units(&format!("\u{feff}{one}"), u16::to_be_bytes), &first),
        ("UTF-16 and JSON", units(&format!("\u{feff}{json_one}"), u16::to_le_bytes), &first),
        ("two documents", format!("{one}---\n{two}").into(), &both),
        ("CRLF between documents", format!("{one}---\n{two}").replace('\n', "\r\n").into(), &both),
        ("a mark behind ---", format!("{one}---\n\u{feff}{two}").into(), &both),
        ("a mark and a comment behind ---", format!("{one}---\n\u{feff}# second file\n{two}").into(), &both),
        ("--- with a comment", format!("--- # first\n{one}--- # second\n{two}").into(), &both),
        ("---# is a separator", format!("{one}---#\n{two}").into(), &both),
        ("--- with blanks behind it", format!("{one}---  \t\n{two}").into(), &both),
        ("empty documents", format!("---\n---\n\n---\n# nothing\n---\nnull\n---\n~\n---\n{one}---\n---\n").into(), &first),
        ("nothing but comments", b"# one\n# two\n".to_vec(), &[]),
        ("nothing", Vec::new(), &[]),
        ("blank lines first", format!("\n\n{one}").into(), &first),
        ("... at the end", format!("{one}...\n").into(), &first),
        ("... between documents", format!("{one}...\n---\n{two}").into(), &both),
        ("JSON", json_one.into(), &first),
        ("JSON with tabs", tabs.into(), &first),
        ("JSON behind a tab", format!("\t{json_one}\n").into(), &first),
        ("JSON, one after the other", format!("{json_one}{}", json_one.replace(":1}", ":2}")).into(), &both),
        ("JSON, one a line", format!("{json_one}\n{}\n", json_one.replace(":1}", ":2}")).into(), &both),
        ("JSON, --- and YAML", format!("{json_one}\n---\n{two}").into(), &both),
        ("YAML, --- and JSON", format!("{one}---\n{}\n", json_one.replace(":1}", ":2}")).into(), &both),
        ("YAML that looks like JSON", format!("{}\n", json_one.replace('"', "").replace(':', ": ")).into(), &first),
        (
            "YAML that looks like JSON, behind a tab",
            format!("\t{}\n", json_one.replace('"', "").replace(':', ": ")).into(),
            &first,
        ),
        ("escapes that only JSON has", json_one.replace("1}", "\"\\ud83d\\udc1d\\/\"}").into(), &escaped),
    ];
    cases.extend(whole.into_iter().map(|(what, bytes, specs)| FileCase { what, bytes, specs: specs.to_vec() }));
    lists(&mut cases);
    entries(&values(), &mut cases);
    entries(&forms(), &mut cases);
    cases
}

/// What kubectl itself writes.
fn lists(cases: &mut Vec<FileCase>) {
    let item =
        "- apiVersion: pollinator.dev/v1alpha1\n  kind: ConnectorInstance\n  metadata: {name: NAME}\n  spec: {a: VALUE}\n";
    let items =
        format!("{}{}", item.replace("NAME", "a").replace("VALUE", "1"), item.replace("NAME", "b").replace("VALUE", "2"));
    let bare = "- metadata: {name: a}\n  spec: {a: 1}\n- metadata: {name: b}\n  spec: {a: 2}\n";
    let both = [json!({"a": 1}), json!({"a": 2})];
    let typed = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstanceList\n";
    for (what, text, specs) in [
        (
            "kubectl get -o yaml",
            format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n"),
            &both[..],
        ),
        ("a list of one kind", format!("{typed}metadata: {{resourceVersion: \"7\"}}\nitems:\n{items}"), &both),
        ("a list of one kind, which its items leave out", format!("{typed}items:\n{bare}"), &both),
        ("an empty list", "apiVersion: v1\nkind: List\nitems: []\n".to_owned(), &[]),
        ("an empty list of one kind", format!("{typed}items: []\n"), &[]),
    ] {
        cases.push(FileCase { what, bytes: text.into_bytes(), specs: specs.to_vec() });
    }
}

/// Scalars by YAML 1.1, as go-yaml v2 has it.
fn values() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "booleans of YAML 1.1",
            "a: [yes, Yes, YES, on, On, ON, y, Y, true, True, TRUE]\nb: [no, No, NO, off, Off, OFF, n, N, false, False, FALSE]",
            json!({"a": [true, true, true, true, true, true, true, true, true, true, true],
                "b": [false, false, false, false, false, false, false, false, false, false, false]}),
        ),
        (
            "no booleans",
            "a: [yEs, oN, 'yes', \"on\", yes it is, tRUE]",
            json!({"a": ["yEs", "oN", "yes", "on", "yes it is", "tRUE"]}),
        ),
        (
            "nothing",
            "a: [null, ~, Null, NULL]\nb:\nc: 'null'\nd: nULL",
            json!({"a": [null, null, null, null], "b": null, "c": "null", "d": "nULL"}),
        ),
        (
            "whole numbers",
            "a: [010, 0o10, 0x1F, 0X1f, 0b11, 1_000, +12, -12, -0b1, -010, 08, 0, -0]\nb: [9223372036854775807, -9223372036854775808]",
            json!({"a": [8, 8, 31, 31, 3, 1000, 12, -12, -1, -8, 8, 0, 0],
                "b": [9_223_372_036_854_775_807_i64, -9_223_372_036_854_775_808_i64]}),
        ),
        ("whole numbers, however written", "a: [1.0, 1e3, 5., 1_000.0]", json!({"a": [1, 1000, 5, 1000]})),
        ("fractions", "a: [1.5, .5, -.5, +1.25, 1.5e-3, 2.5E+1]", json!({"a": [1.5, 0.5, -0.5, 1.25, 0.0015, 25]})),
        (
            "no numbers",
            "a: [1.2.3, 12:30, 0x, 0o8, 1e, e3, -, +, 1 2, 10m, 15m, '7', 1e400, 0b2, --1]",
            json!({"a": ["1.2.3", "12:30", "0x", "0o8", "1e", "e3", "-", "+", "1 2", "10m", "15m", "7", "1e400", "0b2", "--1"]}),
        ),
        (
            "dates stay texts",
            "a: [2026-01-31, 2026-01-31T00:00:00Z, 2026-01-31 00:00:00, !!timestamp 2026-01-31]",
            json!({"a": ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31 00:00:00", "2026-01-31"]}),
        ),
        (
            "tags",
            "a: [!!str 1, !!str yes, !!int '1', !!bool 'yes', !!float 1, !!null '', !!binary aGVsbG8=, !own x, ! 12]",
            json!({"a": ["1", "yes", 1, true, 1, null, "hello", "x", "12"]}),
        ),
        ("keys that are no texts", "1: a\non: c\n1.5: d\n'2': e", json!({"1": "a", "true": "c", "1.5": "d", "2": "e"})),
        (
            "macros",
            "a: ${since}\nb: {c: '${gmtDate:yyyy}'}\nc: /r?since=${since}&x=1",
            json!({"a": "${since}", "b": {"c": "${gmtDate:yyyy}"}, "c": "/r?since=${since}&x=1"}),
        ),
    ]
}

/// White space, quotes, blocks, anchors.
fn forms() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "JSON that is indented by tabs, pasted in",
            "resources:\n- {\n\t\"name\": \"c\",\n\t\t\"dates\": {\n\t\t\t\"zone\": \"GMT\"\n\t\t}\n  }",
            json!({"resources": [{"name": "c", "dates": {"zone": "GMT"}}]}),
        ),
        ("tabs in a list", "a: [1,\n\t2,\t3 ]", json!({"a": [1, 2, 3]})),
        ("tabs behind signs", "a:\tb\nc: d\t# e\nf: [ \t]", json!({"a": "b", "c": "d", "f": []})),
        (
            "JSON in YAML without blanks",
            "a: {\"b\":1,\"c\":[true,null],\"d\":{}}",
            json!({"a": {"b": 1, "c": [true, null], "d": {}}}),
        ),
        ("brackets closed to the left", "a: {\n}\nb: [\n]", json!({"a": {}, "b": []})),
        ("commas at the end", "a: [1, 2,]\nb: {c: 1,}", json!({"a": [1, 2], "b": {"c": 1}})),
        ("members without values", "a: {b, c: , d: 1}", json!({"a": {"b": null, "c": null, "d": 1}})),
        ("a pair in a list", "a: [b: 1]", json!({"a": [{"b": 1}]})),
        (
            "URLs without quotes",
            "a: {u: https://x.example/y}\nb: https://x.example/y?z=1#f",
            json!({"a": {"u": "https://x.example/y"}, "b": "https://x.example/y?z=1#f"}),
        ),
        (
            "lists at the indentation of their key",
            "a:\n- b\n- c: 1\n  d: 2\n- - e",
            json!({"a": ["b", {"c": 1, "d": 2}, ["e"]]}),
        ),
        ("keys in quotes", "\"a b\": 1\n'c: d': 2", json!({"a b": 1, "c: d": 2})),
        ("a complex key", "? a\n: b", json!({"a": "b"})),
        (
            "texts in quotes",
            "a: 'it''s'\nb: \"\\u00e9\\t\\x41\\\\\"\nc: \"one\n  two\n\n  three\"\nd: 'one\n  two'",
            json!({"a": "it's", "b": "é\tA\\", "c": "one two\nthree", "d": "one two"}),
        ),
        ("a text over lines", "a: one\n  two\n  three\nb: 1", json!({"a": "one two three", "b": 1})),
        (
            "blocks",
            "a: |\n  x\n    y\n\n  z\nb: >\n  x\n  y\n\n  z\nc: |-\n  x\nd: >-\n  x\n  y\ne: |+\n  x\n\nf: |2\n    x\ng: 1",
            json!({"a": "x\n  y\n\nz\n", "b": "x y\nz\n", "c": "x", "d": "x y", "e": "x\n\n", "f": "  x\n", "g": 1}),
        ),
        ("comments", "a: b # c\nd: b#c\n# e\nf: 'g # h' # i", json!({"a": "b", "d": "b#c", "f": "g # h"})),
        (
            "anchors",
            "a: &x {b: [1, 2]}\nc: *x\nd: &y 7\ne: [*y, *y]",
            json!({"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": 7, "e": [7, 7]}),
        ),
        (
            "merges",
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [*x, {c: 4, f: 5}]}\ng: {<<: {h: 1}}\ni: {'<<': 1}",
            json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 1, "c": 2, "f": 5}, "g": {"h": 1}, "i": {"<<": 1}}),
        ),
        ("a merge behind a key wins over it", "a: &x {b: 1}\nc: {b: 2, <<: *x}", json!({"a": {"b": 1}, "c": {"b": 1}})),
        ("letters of all kinds", "a: ü🐝\nb: \"日本\"\nü: 1", json!({"a": "ü🐝", "b": "日本", "ü": 1})),
    ]
}
