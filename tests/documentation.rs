//! What the pages say against what the code is. In: every Markdown file, `Makefile`, the names of the
//! sources, the reasons, the schema, the command line. Out: a failure that names the page and the line.
//!
//! **Invariant:** no cluster and no network; YAML blocks are applied by `tests/cluster/tools.rs`.
#![expect(clippy::unwrap_used, reason = "an integration test is a test module")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use oauthcc_operator::cli::Cli;
use oauthcc_operator::domain::reason::Reason;
use oauthcc_operator::domain::schema::custom_resource_definition;
use serde_json::Value;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(top().join(name)).unwrap()
}

/// Files with this ending, relative to the top, but for what is built or fetched.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![top().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let skipped =
                name.starts_with('.') || ["target", "node_modules"].contains(&name.as_str());
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if name.ends_with(ending) {
                let relative: PathBuf = path.strip_prefix(top()).unwrap().to_owned();
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The lines of a page outside its fenced blocks, and those inside.
fn split(page: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut prose, mut code, mut fenced) = (Vec::new(), Vec::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line);
        } else {
            prose.push(line);
        }
    }
    (prose, code)
}

/// The texts in backticks of a line.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The cells of the rows of every table below one heading and above the next of the same level.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let level = format!("{} ", heading.split(' ').next().unwrap());
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let section = lines.take_while(|line| !line.starts_with(&level));
    let table = section.filter(|line| line.starts_with("| `"));
    // A bar inside backticks would be written `\|`; none of these tables has one.
    table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_reason_has_one_row_and_no_row_is_of_another() {
    let page = page("docs/reference/reasons.md");
    let rows = rows(&page, "## The reasons");
    let mut told: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let mut known = Reason::ALL.map(Reason::as_str).to_vec();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
    let short = rows.iter().find(|row| row.len() < 4 || row.iter().any(|cell| cell.is_empty()));
    assert!(short.is_none(), "a cell is empty: {short:?}");
}

#[test]
fn every_event_has_one_row_and_no_row_is_of_another() {
    let page = page("docs/reference/reasons.md");
    let rows = rows(&page, "## Events");
    let source = std::fs::read_to_string(top().join("src/domain/notice.rs")).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    // The words in quotes that could be the reason of an event: one word in PascalCase.
    let words = code.split('"').skip(1).step_by(2);
    let known: BTreeSet<_> = words
        .filter(|word| word.starts_with(char::is_uppercase))
        .filter(|word| word.chars().all(char::is_alphanumeric))
        .filter(|word| !["False", "TargetConflict"].contains(word)) // Of conditions, not of events.
        .collect();
    let told: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!(told.len(), known.len(), "a row is there twice");
    assert!(rows.iter().all(|row| ["Normal", "Warning"].contains(&row[1])), "{rows:?}");
}

/// The texts in quotes of a source before its tests.
fn texts_of(source: &str) -> Vec<String> {
    let source = std::fs::read_to_string(top().join(source)).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_metric_has_one_row_and_no_row_is_of_another() {
    let page = page("docs/reference/metrics.md");
    let rows = rows(&page, "## What is served");
    // The library adds these to the names of counters and infos.
    let registered = |name: &str| {
        let name = name.trim_matches('`');
        name.trim_end_matches("_total").trim_end_matches("_info").to_owned()
    };
    let mut told: Vec<_> = rows.iter().map(|row| registered(row[0])).collect();
    let texts = ["src/telemetry.rs", "src/telemetry/credentials.rs"].map(texts_of).concat();
    let is_name = |text: &&String| {
        let ours = ["oauthcc_", "controller_runtime_"].iter().any(|start| text.starts_with(start));
        ours && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let mut known: Vec<_> = texts.iter().filter(is_name).cloned().collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
    // An alert speaks of a metric that there is.
    let served: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let alerts = page.split("## What to be alerted of").nth(1).unwrap();
    let words = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with("oauthcc_")) {
        assert!(served.contains(&word), "{word} is not served");
    }
}

#[test]
fn every_annotation_has_one_row_and_no_row_is_of_another() {
    let page = page("docs/reference/annotations.md");
    let rows = rows(&page, "# Annotations, labels and the finalizer");
    let mut told: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let is_name = |text: &&String| {
        let named = text.strip_prefix("oauthcc.dev/").is_some_and(|name| !name.is_empty());
        (named && !text.contains("v1")) || *text == "app.kubernetes.io/managed-by"
    };
    let mut known: Vec<_> = texts_of("src/domain/crd.rs").iter().filter(is_name).cloned().collect();
    told.sort_unstable();
    known.sort_unstable();
    known.dedup();
    assert_eq!(told, known);
}

/// The names of all fields of a schema, each by itself.
fn fields(schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        fields(field, found);
        fields(&field["items"], found);
    }
}

#[test]
fn the_list_of_what_is_not_there_names_nothing_that_is() {
    let readme = page("README.md");
    let list = readme.split("## What is not there yet").nth(1).unwrap();
    let items: Vec<_> = list.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(items.len() > 3, "the search finds no list");
    let definition = custom_resource_definition();
    let mut known = BTreeSet::new();
    fields(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut known);
    assert!(known.contains("previousTokenKey"), "{known:?}");
    let marks = texts_of("src/domain/crd.rs");
    known.extend(
        marks.iter().filter_map(|text| text.strip_prefix("oauthcc.dev/").map(str::to_owned)),
    );
    for word in items.iter().flat_map(|line| quoted(line)) {
        let name = word.split(':').next().unwrap().rsplit(['.', '/']).next().unwrap();
        assert!(!known.contains(name), "README.md denies {word}, which is there");
    }
}

#[test]
fn every_flag_has_one_row_with_its_variable_and_default_and_no_row_is_of_another() {
    let page = page("docs/reference/settings.md");
    let mut rows = rows(&page, "# Settings of `oauthcc run`");
    rows.retain(|row| row[0].starts_with("`--"));
    let told: BTreeMap<_, _> = rows.iter().map(|row| (row[0], row)).collect();
    assert_eq!(told.len(), rows.len(), "a row is there twice");
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let mut flags = BTreeSet::new();
    for argument in run.get_arguments().filter(|argument| argument.get_id() != "help") {
        let flag = format!("`--{}`", argument.get_long().unwrap());
        let row = told.get(flag.as_str()).unwrap_or_else(|| panic!("{flag} has no row"));
        let variable = format!("`{}`", argument.get_env().unwrap().to_string_lossy());
        assert_eq!(row[1], variable, "the variable of {flag}");
        let default = argument.get_default_values().iter().map(|value| value.to_string_lossy());
        let default = default.collect::<Vec<_>>().join(",");
        let none = default.is_empty() && !row[2].contains('`');
        assert!(none || row[2] == format!("`{default}`"), "the default of {flag}: {}", row[2]);
        for value in argument.get_possible_values() {
            let value = format!("`{}`", value.get_name());
            assert!(row[3].contains(&value), "{flag} accepts {value}: {}", row[3]);
        }
        // Where the help names a range, the page names the same.
        let help = argument.get_help().unwrap().to_string();
        let range = help.rsplit_once(", ").map(|(_, range)| range).filter(|r| r.contains(" to "));
        let range = range.filter(|range| range.starts_with(|c: char| c.is_ascii_digit()));
        assert!(range.is_none_or(|range| row[3] == range), "{flag} accepts {range:?}: {}", row[3]);
        flags.insert(flag);
    }
    let gone: Vec<_> = told.keys().filter(|flag| !flags.contains(**flag)).collect();
    assert!(gone.is_empty(), "flags that there are not: {gone:?}");
}

#[test]
fn the_pages_name_only_targets_of_make_that_exist() {
    let makefile = page("Makefile");
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    assert!(targets.contains("demo") && targets.contains("test"), "{targets:?}");
    let mut named = 0;
    for name in files("", ".md") {
        let text = page(&name);
        let (prose, code) = split(&text);
        let spoken = prose.iter().flat_map(|line| quoted(line));
        for words in spoken.chain(code) {
            let Some(target) = words.trim_start_matches("$ ").strip_prefix("make ") else {
                continue;
            };
            let target = target.split_whitespace().next().unwrap_or_default();
            assert!(targets.contains(target), "{name} names `make {target}`");
            named += 1;
        }
    }
    assert!(named > 5, "the search finds no target");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut links = 0;
    for name in files("", ".md") {
        let text = page(&name);
        let folder = top().join(&name).parent().unwrap().to_owned();
        for line in split(&text).0 {
            for link in line.split("](").skip(1) {
                let link = link.split(')').next().unwrap();
                if link.contains("://") {
                    continue;
                }
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let file = if path.is_empty() { top().join(&name) } else { folder.join(path) };
                assert!(file.exists(), "{name} leads to {link}");
                assert!(anchor.is_empty() || has_anchor(&file, anchor), "{name} leads to {link}");
                links += 1;
            }
        }
    }
    assert!(links > 10, "the search finds no link");
}

/// Whether a page has a heading with this anchor, as GitHub makes it.
fn has_anchor(file: &Path, anchor: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let (prose, _) = split(&text);
    let headings = prose.iter().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.into_iter().any(|heading| slug(heading) == anchor)
}

/// Tests that outgrew their file are part of its room.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[test]
fn the_map_names_every_source_file_and_no_other() {
    let map = page("ARCHITECTURE.md");
    let named: BTreeSet<_> =
        map.lines().flat_map(quoted).flat_map(|text| text.split([' ', ','])).collect();
    let sources = files("src", ".rs");
    for source in sources.iter().filter(|path| !is_test_file(path)) {
        let file = source.rsplit('/').next().unwrap();
        let below_src = source.strip_prefix("src/").unwrap();
        // A part of a room may be named without its ending.
        let part = below_src.matches('/').count() > 1;
        let bare = file.trim_end_matches(".rs");
        let found =
            named.contains(file) || named.contains(below_src) || (part && named.contains(bare));
        assert!(found, "ARCHITECTURE.md does not name {source}");
    }
    let all: Vec<_> = [files("src", ".rs"), files("tests", ".rs"), files("demo", ".rs")].concat();
    let is_source = |name: &&&str| Path::new(name).extension().is_some_and(|end| end == "rs");
    for name in named.iter().filter(is_source) {
        let known = all.iter().any(|path| path == name || path.ends_with(&format!("/{name}")));
        assert!(known, "ARCHITECTURE.md names {name}, which there is not");
    }
    for name in named.iter().filter(|name| name.ends_with('/') && name.len() > 1) {
        let places = ["", "src", "src/domain", "src/cluster", "tests"];
        let known = places.iter().any(|place| top().join(place).join(name).is_dir());
        assert!(known, "ARCHITECTURE.md names {name}, which there is not");
    }
}

#[test]
fn the_flow_names_functions_that_exist() {
    let map = page("ARCHITECTURE.md");
    let (_, flow) = split(&map);
    let sources = files("src", ".rs");
    let code: Vec<_> = sources.iter().map(|path| page(path)).collect();
    let mut named = 0;
    for line in flow {
        for (position, _) in line.match_indices('(') {
            let before = line.get(..position).unwrap();
            let name: String =
                before.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let name: String = name.chars().rev().collect();
            if name.is_empty() || name.starts_with(char::is_uppercase) {
                continue;
            }
            let known = code.iter().any(|code| code.contains(&format!("fn {name}")));
            assert!(known, "the flow names {name}, which there is not: {line}");
            named += 1;
        }
    }
    assert!(named > 5, "the search finds no function");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = page("Cargo.toml");
    let decided = page("docs/decisions/0001-dependencies.md");
    let told: BTreeSet<_> = decided
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.trim_start_matches("| ").split('|').next().unwrap().split([',', ' ']))
        .collect();
    for section in ["[dependencies]", "[dev-dependencies]"] {
        let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
        for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty())
        {
            let name = line.split(' ').next().unwrap();
            assert!(
                told.contains(name),
                "{name} has no row in docs/decisions/0001-dependencies.md"
            );
        }
    }
}

#[test]
fn the_changelog_and_the_chart_have_the_version_of_the_crate() {
    let chart = page("charts/oauthcc-operator/Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    for key in ["version", "appVersion"] {
        let line = chart.lines().find_map(|line| line.strip_prefix(&format!("{key}: "))).unwrap();
        assert_eq!(line.trim_matches('"'), version, "{key} of the chart");
    }
    assert!(page("CHANGELOG.md").contains(version));
}
