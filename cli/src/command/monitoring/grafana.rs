//! Dashboards as Grafana reads them: which fields there are, which must be there, and which words they may hold.
//!
//! The facts are those of the schemas that Grafana publishes for dashboards and panels (grafana-foundation-sdk, folder
//! `jsonschema`, of June 2026), as far as our dashboards use them. A field that is not here is a misspelt one until somebody has
//! looked it up there.

use super::DASHBOARDS;
use serde_json::{Value, json};

/// What a value may be.
enum Shape {
    Text,
    /// Text that says something.
    Title,
    Number,
    /// A number between these, both included.
    Between(i64, i64),
    Flag,
    /// Nothing, or a number.
    Threshold,
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    /// An object with names of its own choice.
    Map(&'static Shape),
    Object(&'static [Field]),
    /// A panel, whose options depend on its type.
    Panel,
}

use Shape::{Between, Flag, Map, Number, Object, OneOf, Text, Title};

/// A field, whether it must be there, and what it holds.
type Field = (&'static str, bool, Shape);

const MUST: bool = true;
const MAY: bool = false;

const SOURCE: Shape = Object(&[("type", MAY, OneOf(&["prometheus"])), ("uid", MAY, Text)]);

const DASHBOARD: Shape = Object(&[
    ("uid", MUST, Title),
    ("title", MUST, Title),
    ("description", MAY, Text),
    ("tags", MAY, Shape::List(&Text)),
    ("schemaVersion", MUST, Between(36, 42)),
    ("version", MAY, Between(0, i64::MAX)),
    ("editable", MAY, Flag),
    ("graphTooltip", MAY, Between(0, 2)),
    ("refresh", MAY, Text),
    (
        "time",
        MAY,
        Object(&[("from", MUST, Text), ("to", MUST, Text)]),
    ),
    ("timezone", MAY, Text),
    (
        "templating",
        MUST,
        Object(&[("list", MAY, Shape::List(&VARIABLE))]),
    ),
    (
        "annotations",
        MUST,
        Object(&[("list", MAY, Shape::List(&Text))]),
    ),
    ("links", MAY, Shape::List(&LINK)),
    ("panels", MUST, Shape::List(&Shape::Panel)),
]);

const VARIABLE: Shape = Object(&[
    ("type", MUST, OneOf(&["datasource", "query"])),
    ("name", MUST, Title),
    ("label", MAY, Text),
    ("hide", MAY, Between(0, 3)),
    ("query", MAY, Text),
    ("definition", MAY, Text),
    ("datasource", MAY, SOURCE),
    ("multi", MAY, Flag),
    ("includeAll", MAY, Flag),
    ("allValue", MAY, Text),
    ("options", MAY, Shape::List(&Text)),
    ("refresh", MAY, Between(0, 2)),
    ("sort", MAY, Between(0, 8)),
    ("regex", MAY, Text),
]);

const LINK: Shape = Object(&[
    ("title", MUST, Text),
    ("type", MUST, OneOf(&["link", "dashboards"])),
    ("icon", MUST, Text),
    ("tooltip", MUST, Text),
    ("url", MAY, Text),
    ("tags", MUST, Shape::List(&Text)),
    ("asDropdown", MUST, Flag),
    ("targetBlank", MUST, Flag),
    ("includeVars", MUST, Flag),
    ("keepTime", MUST, Flag),
]);

/// What panels of every type have.
const PANEL: &[Field] = &[
    (
        "type",
        MUST,
        OneOf(&["timeseries", "stat", "state-timeline", "table", "heatmap"]),
    ),
    ("id", MUST, Between(1, i64::MAX)),
    ("title", MUST, Title),
    ("description", MAY, Text),
    ("datasource", MUST, SOURCE),
    (
        "gridPos",
        MUST,
        Object(&[
            ("x", MUST, Between(0, 23)),
            ("y", MUST, Between(0, i64::MAX)),
            ("w", MUST, Between(1, 24)),
            ("h", MUST, Between(1, i64::MAX)),
        ]),
    ),
    ("targets", MUST, Shape::List(&TARGET)),
    ("transformations", MAY, Shape::List(&TRANSFORMATION)),
];

const TARGET: Shape = Object(&[
    ("datasource", MAY, SOURCE),
    ("expr", MUST, Title),
    ("legendFormat", MAY, Text),
    ("refId", MUST, Title),
    ("editorMode", MAY, OneOf(&["code", "builder"])),
    ("range", MAY, Flag),
    ("instant", MAY, Flag),
    ("format", MAY, OneOf(&["time_series", "table", "heatmap"])),
]);

const TRANSFORMATION: Shape = Object(&[
    ("id", MUST, OneOf(&["organize"])),
    (
        "options",
        MUST,
        Object(&[
            ("excludeByName", MAY, Map(&Flag)),
            ("renameByName", MAY, Map(&Text)),
            ("indexByName", MAY, Map(&Number)),
        ]),
    ),
]);

/// What fields of every type have besides what their panel adds.
const DEFAULTS: &[Field] = &[
    ("unit", MAY, Title),
    ("max", MAY, Number),
    (
        "color",
        MAY,
        Object(&[("mode", MUST, OneOf(&["thresholds", "palette-classic"]))]),
    ),
    (
        "thresholds",
        MAY,
        Object(&[
            ("mode", MUST, OneOf(&["absolute", "percentage"])),
            (
                "steps",
                MUST,
                Shape::List(&Object(&[
                    ("color", MUST, Title),
                    ("value", MUST, Shape::Threshold),
                ])),
            ),
        ]),
    ),
    (
        "mappings",
        MAY,
        Shape::List(&Object(&[
            ("type", MUST, OneOf(&["value"])),
            (
                "options",
                MUST,
                Map(&Object(&[
                    ("text", MAY, Text),
                    ("color", MAY, Text),
                    ("index", MAY, Between(0, i64::MAX)),
                ])),
            ),
        ])),
    ),
];

const VISIBLE: Shape = OneOf(&["auto", "never", "always"]);

const LEGEND: Shape = Object(&[
    ("displayMode", MUST, OneOf(&["list", "table", "hidden"])),
    ("placement", MUST, OneOf(&["bottom", "right"])),
    ("showLegend", MUST, Flag),
    ("calcs", MUST, Shape::List(&Text)),
]);

const MODE: Shape = OneOf(&["single", "multi", "none"]);

const TOOLTIP: Shape = Object(&[
    ("mode", MUST, MODE),
    ("sort", MUST, OneOf(&["asc", "desc", "none"])),
]);

/// Options of a panel's type, and what it adds to each field.
fn of_type(kind: &str) -> (Shape, Shape) {
    match kind {
        "timeseries" => (
            Object(&[("legend", MUST, LEGEND), ("tooltip", MUST, TOOLTIP)]),
            Object(&[
                ("drawStyle", MAY, OneOf(&["line", "bars", "points"])),
                ("fillOpacity", MAY, Number),
                ("lineWidth", MAY, Number),
                ("showPoints", MAY, VISIBLE),
                ("spanNulls", MAY, Flag),
                (
                    "stacking",
                    MAY,
                    Object(&[
                        ("mode", MAY, OneOf(&["none", "normal", "percent"])),
                        ("group", MAY, Text),
                    ]),
                ),
            ]),
        ),
        "stat" => (
            Object(&[
                ("graphMode", MUST, OneOf(&["none", "line", "area"])),
                (
                    "colorMode",
                    MUST,
                    OneOf(&["value", "background", "background_solid", "none"]),
                ),
                ("justifyMode", MUST, OneOf(&["auto", "center"])),
                (
                    "textMode",
                    MUST,
                    OneOf(&["auto", "value", "value_and_name", "name", "none"]),
                ),
                ("wideLayout", MUST, Flag),
                ("showPercentChange", MUST, Flag),
                (
                    "percentChangeColorMode",
                    MUST,
                    OneOf(&["standard", "inverted", "same_as_value"]),
                ),
                (
                    "orientation",
                    MUST,
                    OneOf(&["auto", "vertical", "horizontal"]),
                ),
                (
                    "reduceOptions",
                    MUST,
                    Object(&[
                        ("calcs", MUST, Shape::List(&Text)),
                        ("fields", MAY, Text),
                        ("values", MAY, Flag),
                    ]),
                ),
            ]),
            Object(&[]),
        ),
        "state-timeline" => (
            Object(&[
                ("showValue", MUST, VISIBLE),
                ("rowHeight", MUST, Number),
                ("mergeValues", MAY, Flag),
                ("legend", MUST, LEGEND),
                ("tooltip", MUST, TOOLTIP),
            ]),
            Object(&[
                ("fillOpacity", MAY, Between(0, 100)),
                ("lineWidth", MAY, Between(0, 10)),
            ]),
        ),
        "table" => (
            Object(&[
                ("frameIndex", MUST, Number),
                ("showHeader", MUST, Flag),
                ("sortBy", MAY, Shape::List(&Text)),
            ]),
            Object(&[
                ("align", MUST, OneOf(&["auto", "left", "right", "center"])),
                ("inspect", MUST, Flag),
            ]),
        ),
        "heatmap" => (
            Object(&[
                ("calculate", MAY, Flag),
                ("cellGap", MAY, Between(0, i64::MAX)),
                ("cellValues", MAY, Object(&[("unit", MAY, Text)])),
                (
                    "color",
                    MUST,
                    Object(&[
                        ("mode", MAY, OneOf(&["opacity", "scheme"])),
                        ("scheme", MUST, Title),
                        ("fill", MUST, Title),
                        ("exponent", MUST, Number),
                        ("steps", MUST, Between(2, 128)),
                        ("reverse", MUST, Flag),
                    ]),
                ),
                ("exemplars", MUST, Object(&[("color", MUST, Title)])),
                ("filterValues", MAY, Object(&[("le", MAY, Number)])),
                ("legend", MUST, Object(&[("show", MUST, Flag)])),
                (
                    "rowsFrame",
                    MAY,
                    Object(&[("layout", MAY, OneOf(&["le", "ge", "unknown", "auto"]))]),
                ),
                ("showValue", MUST, VISIBLE),
                (
                    "tooltip",
                    MUST,
                    Object(&[
                        ("mode", MUST, MODE),
                        ("yHistogram", MAY, Flag),
                        ("showColorScale", MAY, Flag),
                    ]),
                ),
                (
                    "yAxis",
                    MUST,
                    Object(&[
                        (
                            "axisPlacement",
                            MAY,
                            OneOf(&["auto", "left", "right", "hidden"]),
                        ),
                        ("reverse", MAY, Flag),
                        ("unit", MAY, Text),
                    ]),
                ),
            ]),
            Object(&[
                (
                    "hideFrom",
                    MAY,
                    Object(&[
                        ("legend", MUST, Flag),
                        ("tooltip", MUST, Flag),
                        ("viz", MUST, Flag),
                    ]),
                ),
                (
                    "scaleDistribution",
                    MAY,
                    Object(&[("type", MUST, OneOf(&["linear", "log"]))]),
                ),
            ]),
        ),
        // The type itself is a fault already.
        _ => (Object(&[]), Object(&[])),
    }
}

impl Shape {
    /// What is wrong with a value that stands there.
    fn judge(&self, value: &Value, at: &str, faults: &mut Vec<String>) {
        let is_so = match self {
            Self::Text => value.is_string(),
            Self::Title => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Number => value.is_number(),
            Self::Between(least, most) => value
                .as_i64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Flag => value.is_boolean(),
            Self::Threshold => value.is_number() || value.is_null(),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::List(of) => match value.as_array() {
                Some(all) => {
                    for (number, each) in all.iter().enumerate() {
                        of.judge(each, &format!("{at}/{number}"), faults);
                    }
                    true
                }
                None => false,
            },
            Self::Map(of) => match value.as_object() {
                Some(all) => {
                    for (name, each) in all {
                        of.judge(each, &format!("{at}/{name}"), faults);
                    }
                    true
                }
                None => false,
            },
            Self::Object(fields) => {
                judge_fields(&[fields], &[], value, at, faults);
                value.is_object()
            }
            Self::Panel => {
                judge_panel(value, at, faults);
                value.is_object()
            }
        };
        if !is_so {
            faults.push(format!("{at}: {value}"));
        }
    }
}

/// Fields of an object: those of these lists, and some that are judged elsewhere.
fn judge_fields(
    lists: &[&[Field]],
    besides: &[&str],
    value: &Value,
    at: &str,
    faults: &mut Vec<String>,
) {
    let known = || lists.iter().flat_map(|list| list.iter());
    for (name, is_needed, shape) in known() {
        match value.get(name) {
            Some(held) => shape.judge(held, &format!("{at}/{name}"), faults),
            None if *is_needed => faults.push(format!("{at}/{name}: is not there")),
            None => {}
        }
    }
    let names = value.as_object().into_iter().flat_map(|all| all.keys());
    for name in names {
        let is_known = known().any(|(own, ..)| own == name) || besides.contains(&name.as_str());
        if !is_known {
            faults.push(format!("{at}/{name}: is unknown"));
        }
    }
}

fn judge_panel(panel: &Value, at: &str, faults: &mut Vec<String>) {
    let (options, custom) = of_type(panel["type"].as_str().unwrap_or_default());
    judge_fields(&[PANEL], &["options", "fieldConfig"], panel, at, faults);
    options.judge(&panel["options"], &format!("{at}/options"), faults);
    let (config, at) = (&panel["fieldConfig"], format!("{at}/fieldConfig"));
    if config["overrides"] != json!([]) {
        faults.push(format!("{at}/overrides: {}", config["overrides"]));
    }
    let at = format!("{at}/defaults");
    let defaults = &config["defaults"];
    judge_fields(&[DEFAULTS], &["custom"], defaults, &at, faults);
    if let Some(own) = defaults.get("custom") {
        custom.judge(own, &format!("{at}/custom"), faults);
    }
}

fn faults(board: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    DASHBOARD.judge(board, "", &mut faults);
    faults
}

#[test]
fn every_dashboard_is_one_that_grafana_reads() {
    for (name, text) in DASHBOARDS {
        let board: Value = serde_json::from_str(text).unwrap();
        assert_eq!(faults(&board), [""; 0], "{name}");
        let panels = board["panels"].as_array().unwrap();
        let ids: std::collections::BTreeSet<i64> = panels
            .iter()
            .map(|panel| panel["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids.len(), panels.len(), "{name}: two panels have one id");
    }
}

#[test]
fn what_grafana_would_not_read_is_found_where_it_stands() {
    let (_, text) = DASHBOARDS[0];
    let whole: Value = serde_json::from_str(text).unwrap();
    let panels = whole["panels"].as_array().unwrap();
    let of = |kind: &str| {
        let found = panels.iter().position(|panel| panel["type"] == kind);
        found.unwrap_or_else(|| panic!("no panel of {kind}"))
    };
    let (line, stat) = (of("timeseries"), of("stat"));
    let is_found = |at: String, change: &dyn Fn(&mut Value)| {
        let mut board = whole.clone();
        let (inside, _) = at.rsplit_once('/').unwrap();
        change(board.pointer_mut(inside).unwrap());
        let found = faults(&board);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{at}: ")),
            "{at}: {found:?}"
        );
    };
    let takes = |name: &'static str| {
        move |from: &mut Value| {
            from.as_object_mut().unwrap().remove(name).unwrap();
        }
    };
    is_found("/templating".to_owned(), &takes("templating"));
    is_found(
        format!("/panels/{line}/options/legend/calcs"),
        &takes("calcs"),
    );
    is_found(
        format!("/panels/{stat}/options/orientation"),
        &takes("orientation"),
    );
    is_found(format!("/panels/{line}/type"), &|panel| {
        // What a table has stands elsewhere.
        panel["type"] = json!("timeseries-panel");
        panel["options"] = json!({});
        panel["fieldConfig"]["defaults"]["custom"] = json!({});
    });
    is_found(
        format!("/panels/{line}/fieldConfig/defaults/custom/drawStyle"),
        &|custom| custom["drawStyle"] = json!("lines"),
    );
    is_found(format!("/panels/{line}/targets/0/exprs"), &|target| {
        target["exprs"] = json!("up");
    });
    is_found(format!("/panels/{stat}/gridPos/w"), &|place| {
        place["w"] = json!(25);
    });
    is_found("/refresh".to_owned(), &|board| board["refresh"] = json!(30));
}
