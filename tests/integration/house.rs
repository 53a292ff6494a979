//! The house rules: which crate knows which, what the deployment, the functions and the local server agree on, and that
//! the map is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use local::ENDPOINTS;
use serde_json::Value;
use store::keys::{EXPIRES, Index, Key, PK, SK};
use store::table::PROJECTED;
use uuid::Uuid;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every file and folder of the repository, below its root, but what is made and not written.
fn tree() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["target", ".git", ".data", ".aws-sam", ".tools", "__pycache__"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

fn folders_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Each package of the workspace: its folder, and the packages it depends on outside of tests.
fn packages() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest.parent().unwrap().strip_prefix(root()).unwrap().to_owned();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.filter(|of| of["kind"].is_null()).map(|of| text(&of["name"])).collect();
        (text(&package["name"]), (folder, dependencies))
    });
    packages.collect()
}

/// How far out a package of the house is; none for those that only measure and test it.
fn ring(name: &str, folder: &Path) -> Option<usize> {
    const SHARED: [&str; 4] = ["models", "store", "jobs", "api"];
    let place = |name: &str| SHARED.iter().position(|shared| *shared == name);
    match folder.to_str().unwrap().split_once('/') {
        Some(("shared", name)) => {
            Some(place(name).unwrap_or_else(|| panic!("shared/{name} has no place in the order")))
        }
        Some(("functions", _)) => Some(4),
        _ if name == "local" => Some(5),
        _ if name == "crm-access" => Some(6),
        _ => None,
    }
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let rings: BTreeMap<&str, Option<usize>> =
        packages.iter().map(|(name, (folder, _))| (name.as_str(), ring(name, folder))).collect();
    assert_eq!(rings.values().flatten().max(), Some(&6));
    let mut checked = 0;
    for (name, (_, dependencies)) in &packages {
        let Some(ring) = rings[name.as_str()] else { continue };
        for dependency in dependencies {
            match rings.get(dependency.as_str()) {
                Some(Some(inner)) => assert!(*inner < ring, "{name} must not depend on {dependency}"),
                Some(None) => panic!("{name} must not depend on {dependency}, which is no part of the house"),
                None => {}
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} dependencies");
}

#[test]
fn each_crate_knows_what_it_may() {
    let knows = |known: &str| -> BTreeSet<String> {
        let packages = packages().into_iter();
        packages.filter(|(_, (_, dependencies))| dependencies.contains(known)).map(|(name, _)| name).collect()
    };
    let of = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    // The tests watch the SDK from an interceptor; the benchmarks compare with a bare loop of it.
    let outside = of(&["tests", "benches"]);
    for (known, may) in [
        ("aws-sdk-dynamodb", of(&["store"])),
        ("aws-config", of(&["store"])),
        ("serde_dynamo", of(&["store"])),
        ("dynoxide-rs", of(&["local"])),
    ] {
        let knows: BTreeSet<String> = knows(known).difference(&outside).cloned().collect();
        assert_eq!(knows, may, "{known}");
    }
    // The pure crate can neither wait nor log nor send.
    let (_, models) = &packages()["models"];
    for impure in ["tokio", "futures", "tracing", "lambda_http", "axum"] {
        assert!(!models.contains(impure), "models knows {impure}");
    }
    for (name, (_, dependencies)) in packages() {
        if ["models", "store", "jobs"].contains(&name.as_str()) {
            assert!(!dependencies.contains("lambda_http"), "{name} knows HTTP");
        }
    }
}

#[test]
fn functions_do_not_link_the_embedded_engine() {
    for function in folders_in("functions") {
        let tree = cargo(&["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", &function]);
        let linked: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(linked.contains("lambda_http") && linked.contains("aws-sdk-dynamodb"), "{function}: {linked:?}");
        for engine in ["dynoxide-rs", "rusqlite", "libsqlite3-sys", "axum", "local", "clap"] {
            assert!(!linked.contains(engine), "{function} links {engine}");
        }
    }
}

/// The template's resources of one type: the lines of each, without comments.
fn resources(kind: &str) -> Vec<String> {
    let template = read("template.yaml");
    let (_, rest) = template.split_once("\nResources:\n").unwrap();
    let (resources, _) = rest.split_once("\nOutputs:\n").unwrap();
    let mut blocks: Vec<String> = Vec::new();
    for line in resources.lines().filter(|line| !line.trim_start().starts_with('#')) {
        // A resource's name is indented by two spaces, what it is by more.
        if line.starts_with("  ") && !line.starts_with("   ") {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    let of_kind = format!("    Type: {kind}");
    blocks.retain(|block| block.lines().any(|line| line == of_kind));
    blocks
}

/// The values of a member, wherever it stands in these lines.
fn values<'a>(block: &'a str, member: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.trim_start().strip_prefix(member)?.strip_prefix(": ");
    block.lines().filter_map(value).collect()
}

fn value<'a>(block: &'a str, member: &str) -> &'a str {
    let values = values(block, member);
    assert_eq!(values.len(), 1, "{member} in {block}");
    values[0]
}

#[test]
fn the_deployment_the_functions_and_the_local_server_are_one() {
    let offered: BTreeSet<[String; 3]> =
        ENDPOINTS.iter().map(|of| [of.function, of.method, of.path].map(str::to_owned)).collect();
    assert_eq!(offered.len(), ENDPOINTS.len());

    let mut deployed = BTreeSet::new();
    let mut functions = BTreeSet::new();
    for block in resources("AWS::Serverless::Function") {
        let binary = value(&block, "Binary").to_owned();
        assert_eq!(value(&block, "CodeUri"), format!("functions/{binary}"));
        let (methods, paths) = (values(&block, "Method"), values(&block, "Path"));
        assert_eq!(methods.len(), paths.len(), "{block}");
        for (method, path) in methods.into_iter().zip(paths) {
            deployed.insert([binary.clone(), method.to_owned(), path.to_owned()]);
        }
        functions.insert(binary);
    }
    assert_eq!(deployed, offered);
    assert_eq!(functions, folders_in("functions"));
    for function in functions {
        for file in ["src/lib.rs", "src/main.rs", "Cargo.toml"] {
            assert!(root().join("functions").join(&function).join(file).exists(), "{function} has no {file}");
        }
        for file in [format!("events/{function}.json"), format!("events/{function}.expected.json")] {
            let event: Value = serde_json::from_str(&read(&file)).unwrap();
            assert!(event.is_object(), "{file}");
        }
    }
}

#[test]
fn each_event_is_a_call_of_its_function() {
    for endpoint in ENDPOINTS {
        let event: Value = serde_json::from_str(&read(format!("events/{}.json", endpoint.function))).unwrap();
        assert_eq!(event["routeKey"], format!("{} {}", endpoint.method, endpoint.path));
        assert_eq!(event["requestContext"]["http"]["method"], endpoint.method);
    }
}

#[test]
fn the_deployed_table_is_the_one_that_the_store_makes() {
    let tables = resources("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 1);
    // The part of the template that says what the store's own table says, written from the store's constants.
    let schema = |indent: &str, pk: &str, sk: &str| {
        format!(
            "{indent}KeySchema:\n{indent}  - {{ AttributeName: {pk}, KeyType: HASH }}\n{indent}  - {{ AttributeName: \
             {sk}, KeyType: RANGE }}\n"
        )
    };
    let attributes: String = [PK, SK]
        .into_iter()
        .chain(Index::ALL.into_iter().flat_map(|index| [index.pk(), index.sk()]))
        .map(|name| format!("        - {{ AttributeName: {name}, AttributeType: S }}\n"))
        .collect();
    let indexes: String = Index::ALL
        .into_iter()
        .map(|index| {
            format!(
                "        - IndexName: {}\n{}          Projection:\n            ProjectionType: INCLUDE\n            \
                 NonKeyAttributes: [{}]\n",
                index.name(),
                schema("          ", index.pk(), index.sk()),
                PROJECTED.join(", ")
            )
        })
        .collect();
    let expected = format!(
        "      AttributeDefinitions:\n{attributes}{}      GlobalSecondaryIndexes:\n{indexes}      \
         TimeToLiveSpecification:\n        AttributeName: {EXPIRES}\n        Enabled: true\n",
        schema("      ", PK, SK)
    );
    assert!(tables[0].contains(&expected), "{}\nis not in\n{}", expected, tables[0]);
    assert_eq!(value(&tables[0], "BillingMode"), "PAY_PER_REQUEST");
}

#[test]
fn functions_may_do_what_they_need_and_nothing_else() {
    let roles = resources("AWS::IAM::Role");
    assert_eq!(roles.len(), folders_in("functions").len());
    for role in roles {
        assert!(!role.contains('*'), "everything is granted in {role}");
        assert!(!role.contains("dynamodb:Scan"), "Scan is granted in {role}");
        assert!(role.contains("dynamodb:"), "nothing is granted in {role}");
    }
}

/// Whether a text between backticks is meant as a path of this repository.
fn looks_like_a_path(text: &str) -> bool {
    const ENDINGS: [&str; 10] = ["rs", "md", "toml", "yaml", "json", "ndjson", "py", "sh", "snap", "lock"];
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let media_type = text.starts_with("application/") || text.starts_with("text/");
    let ending = text.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
    plain && !media_type && !text.starts_with('/') && (text.contains('/') || ending)
}

#[test]
fn the_paths_on_the_map_exist() {
    let map = read("ARCHITECTURE.md");
    let tree = tree();
    let named: BTreeSet<&str> = map.split('`').skip(1).step_by(2).filter(|text| looks_like_a_path(text)).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in &named {
        let path = Path::new(name);
        // A path that starts below a folder named before it, such as `src/lib.rs`, is looked for everywhere.
        let at_root = path.components().next().is_some_and(|first| root().join(first).exists());
        let exists = if at_root { root().join(path).exists() } else { tree.iter().any(|there| there.ends_with(path)) };
        assert!(exists, "ARCHITECTURE.md names {name}, which is not there");
    }
    for folder in ["shared/models", "shared/store", "shared/jobs", "shared/api", "functions", "local", "cli", "tests"] {
        assert!(named.iter().any(|name| name.starts_with(folder)), "ARCHITECTURE.md does not name {folder}");
    }
}

/// The Rust files, each with its text.
fn sources() -> Vec<(String, String)> {
    let files = tree().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let sources: Vec<(String, String)> = files.map(|path| (path.display().to_string(), read(&path))).collect();
    assert!(sources.len() > 40, "{} sources", sources.len());
    sources
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    let ignored = concat!("#[", "ignore");
    let sleeps = concat!("sleep", "(");
    for (path, source) in sources() {
        assert!(!source.contains(ignored), "{path} ignores a test");
        let is_test = path.starts_with("tests/") || path.contains("/tests/");
        let tests =
            if is_test { Some(source.as_str()) } else { source.split_once("#[cfg(test)]").map(|(_, rest)| rest) };
        assert!(!tests.is_some_and(|tests| tests.contains(sleeps)), "{path} sleeps in a test");
    }
}

#[test]
fn keys_are_written_in_one_file() {
    let (portal, id, moment) = (crate::portal::id("p"), Uuid::nil(), "2020-01-01".parse().unwrap());
    let contact = crate::portal::contact_id(1);
    let keys = [
        Key::Contact(portal.clone(), contact),
        Key::ContactTag(portal.clone(), contact, String::new()),
        Key::Access(portal.clone(), contact),
        Key::Portal(portal.clone()),
        Key::Stage(portal.clone(), 1),
        Key::Type(portal.clone(), 1),
        Key::User(portal.clone(), id),
        Key::Tag(portal.clone(), String::new()),
        Key::TokenEntry(portal.clone(), [0; 32]),
        Key::Token([0; 32]),
        Key::Job(portal.clone(), id),
        Key::JobShard(portal.clone(), id, 0),
        Key::Chunk(portal.clone(), id, 0, 0),
        Key::JobEntry(portal, moment, id),
    ];
    // What stands before the first # of a sort key, in the quotes it would be written with.
    let mut forbidden: BTreeSet<String> = keys
        .iter()
        .map(|key| match key.encode().1.split_once('#') {
            Some((prefix, _)) => format!("\"{prefix}#"),
            None => format!("\"{}\"", key.encode().1),
        })
        .collect();
    for index in Index::ALL {
        forbidden.extend([index.name(), index.pk(), index.sk()].map(|name| format!("\"{name}\"")));
    }
    forbidden.extend([PK, SK].map(|name| format!("\"{name}\"")));
    assert!(forbidden.len() > 15 && forbidden.contains("\"CHUNK#"), "{forbidden:?}");

    let product = ["shared/", "functions/", "local/", "cli/"];
    for (path, source) in sources() {
        if path == "shared/store/src/keys.rs" {
            assert!(forbidden.iter().all(|key| source.contains(key)), "a key is not written in keys.rs");
            continue;
        }
        if product.iter().any(|folder| path.starts_with(folder)) {
            for key in &forbidden {
                assert!(!source.contains(key), "{path} writes {key} of a key");
            }
        }
    }
}
