//! The house rules: dependencies between crates, agreement of the deployment, the functions and the local server, and a
//! correct architecture map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use api::{Endpoint, site};
use jobs::context::DEFAULT_CHUNK_DAYS;
use local::{cors, endpoints};
use models::access::Author;
use models::limits::{
    ANSWER_RESERVE_MILLIS, LEASE_MILLIS, MESSAGE_DEADLINE_MILLIS, SYNCHRONOUS_RUN_MILLIS, WORKER_RESERVE_MILLIS,
};
use models::rule::RuleName;
use models::values::id::{JobId, UserId};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::keys::{EXPIRES, Index, Key, PK, SK};
use store::table::PROJECTED;

use crate::template::{Function, Resource, default_of, functions, resources, template};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns every file and folder of the repository, relative to its root, except generated ones.
fn tree() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["target", ".git", ".data", ".aws-sam", ".tools", "__pycache__", "node_modules"].contains(&name.as_str())
            {
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

/// Returns cargo's description of the workspace.
fn metadata() -> Value {
    serde_json::from_str(&cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"])).unwrap()
}

/// Returns each package of the workspace with its folder and its dependencies outside of tests.
fn packages() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let metadata = metadata();
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

/// Returns the layer of a package, counted from the innermost; none for packages outside the layers: benchmarks, tests
/// and the API description.
fn layer_of(name: &str, folder: &Path) -> Option<usize> {
    const SHARED: [&str; 5] = ["limiter", "models", "store", "jobs", "api"];
    let layer = |name: &str| SHARED.iter().position(|shared| *shared == name);
    match folder.to_str().unwrap().split_once('/') {
        Some(("shared", name)) => {
            Some(layer(name).unwrap_or_else(|| panic!("shared/{name} is not in the list of layers")))
        }
        Some(("functions", _)) => Some(SHARED.len()),
        _ if name == "engine" => Some(SHARED.len() + 1),
        _ if name == "local" => Some(SHARED.len() + 2),
        _ if name == "crm-access" => Some(SHARED.len() + 3),
        _ => None,
    }
}

/// Returns each package that a build of the selected packages needs, with the feature sets that cargo builds it with.
fn features(edges: &str, selection: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let tree = ["tree", "--locked", "--prefix", "none", "--edges", edges, "--format", "{p}|{f}"];
    let mut packages = BTreeMap::<_, BTreeSet<_>>::new();
    for line in cargo(&[&tree[..], selection].concat()).lines() {
        if let Some((package, features)) = line.trim_end_matches(" (*)").split_once('|') {
            packages.entry(package.to_owned()).or_default().insert(features.to_owned());
        }
    }
    packages
}

/// Returns the [`features`] of the crates that are linked into a function or the program, and of their build scripts.
fn linked_into(package: &str) -> &'static BTreeMap<String, BTreeSet<String>> {
    static TREES: LazyLock<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>> = LazyLock::new(|| {
        let packages = functions().into_iter().map(|function| function.binary).chain(["crm-access".to_owned()]);
        packages.map(|package| (package.clone(), features("normal,build", &["--package", &package]))).collect()
    });
    &TREES[package]
}

/// Returns the name of a package of [`features`], which also have a version.
fn name_of(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

/// `make run` builds without dev-dependencies, and `make test` builds with dev-dependencies. Cargo builds a package
/// twice if its features differ.
#[test]
fn program_and_tests_build_each_dependency_with_the_same_features() {
    let [program, tests] = ["normal,build", "normal,build,dev"].map(|edges| features(edges, &["--workspace"]));
    assert!(program.len() > 250, "{} packages", program.len());
    for (package, features) in &program {
        assert_eq!(Some(features), tests.get(package), "{package}: depend on it in tests/Cargo.toml too");
    }
}

/// `make build` builds the functions one after another. Each further set of features would build most of the SDK again.
#[test]
fn functions_build_each_dependency_with_the_same_features() {
    let mut built = BTreeMap::<_, BTreeSet<_>>::new();
    for function in functions() {
        for (package, features) in linked_into(&function.binary) {
            built.entry(package).or_default().extend(features);
        }
    }
    assert!(built.len() > 200, "{} packages", built.len());
    let several = built.iter().filter(|(_, features)| features.len() > 1).map(|(package, _)| name_of(package));
    // Only the bulk worker reads the events of SQS.
    assert_eq!(several.collect::<Vec<_>>(), ["aws_lambda_events"]);
}

/// A manifest says `test = false` or `doctest = false` for a library or a binary without such tests. Otherwise `make
/// test` would link an empty harness. With a wrong setting, cargo would skip tests silently.
#[test]
fn libraries_and_binaries_are_tested_exactly_if_they_have_tests() {
    let (metadata, tree, mut checked) = (metadata(), tree(), 0);
    for target in metadata["packages"].as_array().unwrap().iter().flat_map(|of| of["targets"].as_array().unwrap()) {
        let kind = target["kind"][0].as_str().unwrap();
        if !["lib", "bin"].contains(&kind) {
            continue;
        }
        let source = Path::new(target["src_path"].as_str().unwrap()).strip_prefix(root()).unwrap();
        let folder = source.parent().unwrap();
        // A binary beside a library is one file.
        let is_one_file = kind == "bin" && root().join(folder).join("lib.rs").exists();
        let is_of_target = |path: &Path| match is_one_file {
            true => path == source,
            false => path.starts_with(folder) && (kind == "bin" || path != folder.join("main.rs")),
        };
        let files = tree.iter().filter(|path| path.extension().is_some_and(|of| of == "rs") && is_of_target(path));
        let text: String = files.map(read).collect();
        let starts =
            |starts: &[&str]| text.lines().any(|line| starts.iter().any(|start| line.trim().starts_with(start)));
        let has_tests = starts(&["#[test]", "#[cfg(test)]", "#[tokio::test", "proptest!"]);
        assert_eq!(target["test"], has_tests, "`test` of {}", source.display());
        if kind == "lib" {
            let docs = ["/// ```", "//! ```"];
            let fences = text.lines().filter_map(|line| docs.iter().find_map(|start| line.trim().strip_prefix(start)));
            // Every second fence ends a block.
            let has_doctests = fences.step_by(2).any(|of| ["", "rust", "compile_fail", "no_run"].contains(&of));
            assert_eq!(target["doctest"], has_doctests, "`doctest` of {}", source.display());
        }
        checked += 1;
    }
    assert!(checked > 25, "{checked} libraries and binaries");
}

/// `make fuzz` reuses the builds of `make test`.
#[test]
fn fuzz_targets_build_each_dependency_with_the_features_of_the_program() {
    let (program, fuzz) = (
        features("normal,build", &["--workspace"]),
        features("normal,build", &["--workspace", "--features", "fuzz/libfuzzer"]),
    );
    let differing = program.iter().filter(|(package, features)| Some(*features) != fuzz.get(*package));
    assert_eq!(differing.map(|(package, _)| name_of(package)).collect::<Vec<_>>(), ["fuzz", "libfuzzer-sys"]);
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let layers: BTreeMap<&str, Option<usize>> =
        packages.iter().map(|(name, (folder, _))| (name.as_str(), layer_of(name, folder))).collect();
    assert_eq!(layers.values().flatten().max(), Some(&8));
    let mut checked = 0;
    for (name, (_, dependencies)) in &packages {
        let Some(layer) = layers[name.as_str()] else { continue };
        for dependency in dependencies {
            match layers.get(dependency.as_str()) {
                Some(Some(inner)) => assert!(*inner < layer, "{name} must not depend on {dependency}"),
                Some(None) => {
                    panic!("{name} must not depend on {dependency}, which is not a package of this workspace")
                }
                None => {}
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} dependencies");
}

#[test]
fn each_crate_depends_only_on_permitted_crates() {
    let knows = |known: &str| -> BTreeSet<String> {
        let packages = packages().into_iter();
        packages.filter(|(_, (_, dependencies))| dependencies.contains(known)).map(|(name, _)| name).collect()
    };
    let of = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    // The tests observe the SDK through an interceptor. The benchmarks compare with a bare SDK loop.
    let outside = of(&["tests", "benches"]);
    for (known, may) in [
        ("aws-sdk-dynamodb", of(&["store"])),
        ("aws-config", of(&["store", "crm-access"])),
        ("aws-sdk-sqs", of(&["api"])),
        ("aws-sdk-eventbridge", of(&["api"])),
        ("aws_lambda_events", of(&["bulk-worker"])),
        ("serde_dynamo", of(&["store"])),
        ("dynoxide-rs", of(&["engine"])),
        ("engine", of(&["local", "crm-access"])),
    ] {
        let knows: BTreeSet<String> = knows(known).difference(&outside).cloned().collect();
        assert_eq!(knows, may, "{known}");
    }
    // The crate `models` is pure: it must not wait, log or send.
    let (_, models) = &packages()["models"];
    for impure in ["tokio", "futures", "tracing", "lambda_http", "lambda_runtime", "axum"] {
        assert!(!models.contains(impure), "models knows {impure}");
    }
    for (name, (_, dependencies)) in packages() {
        if ["models", "store", "jobs"].contains(&name.as_str()) {
            assert!(!dependencies.contains("lambda_http"), "{name} knows HTTP");
            assert!(!dependencies.contains("lambda_runtime"), "{name} knows Lambda");
        }
    }
}

#[test]
fn log_covers_every_crate_of_the_workspace() {
    let own = packages().into_iter().filter(|(name, (folder, _))| layer_of(name, folder).is_some());
    let own: BTreeSet<String> = own.map(|(name, _)| name.replace('-', "_")).collect();
    assert_eq!(own, api::log::OWN_CRATES.map(str::to_owned).into());
}

#[test]
fn functions_do_not_link_the_embedded_engine() {
    let packages = packages();
    for function in functions() {
        let (folder, dependencies) = &packages[&function.binary];
        assert_eq!(folder, &Path::new("functions").join(&function.folder));
        // `lambda_http` runs functions that are called by HTTP, and `lambda_runtime` runs the other functions.
        let knows = ["lambda_http", "lambda_runtime"].map(|runtime| dependencies.contains(runtime));
        assert_eq!(knows, [function.is_http(), !function.is_http()], "{}", function.binary);
        let package = function.binary.as_str();
        let linked: BTreeSet<&str> = linked_into(package).keys().map(|package| name_of(package)).collect();
        assert!(linked.contains("lambda_runtime") && linked.contains("aws-sdk-dynamodb"), "{package}: {linked:?}");
        for engine in ["dynoxide-rs", "rusqlite", "libsqlite3-sys", "axum", "engine", "local", "clap"] {
            assert!(!linked.contains(engine), "{package} links {engine}");
        }
    }
}

#[test]
fn only_the_program_links_aws_sign_in_protocols() {
    // Crates that only these protocols need, and the features that enable them.
    const CRATES: [&str; 4] = ["aws-sdk-signin", "aws-sdk-sso", "aws-sdk-ssooidc", "p256"];
    const FEATURES: [&str; 3] = ["credentials-login", "credentials-process", "sso"];
    let links = |package: &str, name: &str| linked_into(package).keys().any(|linked| name_of(linked) == name);
    let has = |package: &str, feature: &str| {
        let config = linked_into(package).iter().find(|(linked, _)| name_of(linked) == "aws-config").unwrap();
        config.1.iter().any(|features| features.split(',').any(|of| of == feature))
    };
    assert!(CRATES.iter().all(|name| links("crm-access", name)), "the program cannot use every profile");
    assert!(FEATURES.iter().all(|feature| has("crm-access", feature)), "the program cannot use every profile");
    for function in functions() {
        let package = function.binary.as_str();
        for name in CRATES {
            assert!(!links(package, name), "{package} links {name}");
        }
        for feature in FEATURES {
            assert!(!has(package, feature), "{package} has aws-config's {feature}");
        }
    }
}

fn function(functions: &[Function], folder: &str) -> usize {
    let found = functions.iter().position(|function| function.folder == folder);
    found.unwrap_or_else(|| panic!("{folder} is no function"))
}

#[test]
fn deployment_functions_and_local_server_have_the_same_routes() {
    let routes = endpoints().flat_map(|of| of.routes().map(move |path| [of.function.into(), of.method.into(), path]));
    let routes: Vec<[String; 3]> = routes.chain(site_routes()).collect();
    let offered: BTreeSet<[String; 3]> = routes.iter().cloned().collect();
    assert_eq!(offered.len(), routes.len());

    let functions = functions();
    let deployed = functions.iter().flat_map(|function| {
        function.routes.iter().map(|[method, path]| [function.binary.clone(), method.clone(), path.clone()])
    });
    assert_eq!(deployed.collect::<BTreeSet<_>>(), offered);
    assert_eq!(
        functions.iter().map(|function| function.folder.clone()).collect::<BTreeSet<_>>(),
        folders_in("functions")
    );
    assert_eq!(functions.len(), folders_in("functions").len());
    for function in &functions {
        // scripts/functions.py finds a built function by its folder.
        let words = function.folder.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
        assert_eq!(function.resource.name, words.collect::<String>() + "Function");
        let called_by: Vec<&str> = function.events.iter().map(String::as_str).collect();
        match function.is_http() {
            true => assert!(called_by.iter().all(|event| *event == "HttpApi"), "{}", function.folder),
            false => assert!(matches!(called_by[..], ["SQS" | "ScheduleV2"]), "{}: {called_by:?}", function.folder),
        }
        for file in ["src/lib.rs", "src/main.rs", "Cargo.toml"] {
            let file = Path::new("functions").join(&function.folder).join(file);
            assert!(root().join(&file).exists(), "there is no {}", file.display());
        }
    }
}

/// Returns the function, the methods and the paths of the site. The site is no part of the API: the description of the
/// API has no row for these paths, because the page belongs to the browser and no client calls the page.
fn site_routes() -> impl Iterator<Item = [String; 3]> {
    let function = web_console::SITE.function;
    site::PATHS
        .into_iter()
        .flat_map(move |path| site::METHODS.map(|method| [function, method, path].map(str::to_owned)))
}

#[test]
fn catch_all_function_knows_every_path_and_its_methods() {
    let site: Vec<[String; 3]> = site_routes().collect();
    let mut paths: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for [_, method, path] in &site {
        paths.entry(path).or_default().insert(method);
    }
    for endpoint in endpoints() {
        paths.entry(endpoint.path).or_default().insert(endpoint.method);
    }
    let known = api::routes::ROUTES.iter().map(|(path, methods)| (*path, methods.iter().copied().collect()));
    assert_eq!(known.collect::<BTreeMap<_, _>>(), paths);
}

#[test]
fn api_gateway_accepts_every_route() {
    // API Gateway's pattern for each part of a route: ^(\{[\w.:-]+\+?\}|[a-zA-Z0-9.:_-]+)$
    let is_accepted = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
    let site = site::PATHS.into_iter().filter(|path| *path != "/").map(str::to_owned);
    for path in endpoints().flat_map(Endpoint::routes).chain(site) {
        for part in path.split('/').skip(1) {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).unwrap_or(part);
            let name = if path.ends_with(part) { name.trim_end_matches('+') } else { name };
            assert!(!name.is_empty() && name.chars().all(is_accepted), "API Gateway does not accept {part} in {path}");
        }
    }
}

#[test]
fn deployed_cors_matches_the_local_server_and_is_off_by_default() {
    let apis = resources("AWS::Serverless::HttpApi");
    assert_eq!(apis.len(), 1);
    let allowed = json!({
        "AllowOrigins": { "Fn::Split": [",", { "Ref": "CorsOrigins" }] },
        "AllowMethods": cors::METHODS,
        "AllowHeaders": cors::REQUEST_HEADERS,
        "ExposeHeaders": cors::RESPONSE_HEADERS,
        "MaxAge": cors::MAX_AGE_SECONDS,
    });
    let expected = json!({ "Fn::If": ["HasCorsOrigins", allowed, { "Ref": "AWS::NoValue" }] });
    assert_eq!(apis[0].property("CorsConfiguration"), &expected);
    let has_origins = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "CorsOrigins" }, ""] }] });
    assert_eq!(template()["Conditions"]["HasCorsOrigins"], has_origins);
    assert_eq!(default_of("CorsOrigins"), "");
}

/// Returns the events, by file name.
pub(crate) fn events() -> BTreeMap<String, Value> {
    let files = tree().into_iter().filter(|path| path.starts_with("events") && path.extension().is_some());
    let events = files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)));
    events.map(|(name, text)| (name, serde_json::from_str(&text).unwrap())).collect()
}

#[test]
fn each_event_file_calls_its_function() {
    let (functions, events) = (functions(), events());
    let mut called = BTreeSet::new();
    for (file, event) in &events {
        assert!(event.is_object(), "{file}");
        let (name, is_answer) = match file.strip_suffix(".expected.json") {
            Some(name) => (name, true),
            None => (file.strip_suffix(".json").unwrap(), false),
        };
        let counterpart = if is_answer { format!("{name}.json") } else { format!("{name}.expected.json") };
        assert!(events.contains_key(&counterpart), "events/{file} is without {counterpart}");
        // As in scripts/functions.py, an event belongs to the function with the longest folder name that is a prefix of
        // the event's name.
        let owners =
            functions.iter().filter(|function| format!("{name}-").starts_with(&format!("{}-", function.folder)));
        let owner = owners.max_by_key(|function| function.folder.len());
        let owner = owner.unwrap_or_else(|| panic!("events/{file} is of no function"));
        if is_answer {
            continue;
        }
        called.insert(owner.folder.clone());
        assert_eq!(event.get("requestContext").is_some(), owner.is_http(), "{file}");
        if owner.is_http() {
            let context = &event["requestContext"];
            let routes: Vec<String> = owner.routes.iter().map(|[method, path]| format!("{method} {path}")).collect();
            let route = event["routeKey"].as_str().unwrap();
            assert_eq!(context["routeKey"], route, "{file}");
            if route == "$default" {
                assert_eq!(owner.folder, "session", "{file}");
                continue;
            }
            assert!(routes.iter().any(|known| known == route), "{file} calls {route}");
            assert_eq!(context["http"]["method"], route.split_once(' ').unwrap().0, "{file}");
        }
    }
    assert_eq!(called, folders_in("functions"));
}

#[test]
fn deployment_keeps_the_limits_of_the_code() {
    let functions = functions();
    let worker = &functions[function(&functions, "bulk-worker")].resource;
    let worker_seconds = worker.number("Timeout");
    let queues = resources("AWS::SQS::Queue").into_iter();
    let queues: Vec<Resource> = queues.filter(|queue| !queue.property("RedrivePolicy").is_null()).collect();
    assert_eq!(queues.len(), 1);
    // AWS recommends this visibility timeout. A batch that waits for a worker is then not delivered to a second worker.
    assert_eq!(queues[0].number("VisibilityTimeout"), 6 * worker_seconds);
    let response_types = worker.value("FunctionResponseTypes");
    assert_eq!(response_types, &json!(["ReportBatchItemFailures"]), "a message that failed counts as done");

    let worker_millis = worker_seconds * 1000;
    assert!(worker_millis <= 15 * 60 * 1000, "Lambda ends a function after 15 minutes");
    // A worker makes progress before its deadline. The sweep does not requeue a shard that a worker has just requeued.
    assert!(WORKER_RESERVE_MILLIS + LEASE_MILLIS <= worker_millis);
    assert!(worker_millis < MESSAGE_DEADLINE_MILLIS);
    let rules = &functions[function(&functions, "run-rules")].resource;
    assert!(WORKER_RESERVE_MILLIS < rules.number("Timeout") * 1000);
    let seconds = template()["Globals"]["Function"]["Timeout"].as_u64().unwrap();
    assert!(SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS <= seconds * 1000);
    for function in functions.iter().filter(|function| function.is_http()) {
        assert!(function.resource.values("Timeout").is_empty(), "{} has a time limit of its own", function.folder);
    }

    assert_eq!(default_of("ChunkRetentionDays"), DEFAULT_CHUNK_DAYS);
}

#[test]
fn deployment_sets_every_variable_that_functions_read() {
    let config = read("shared/api/src/config.rs");
    let named = |text: &str| -> BTreeSet<String> {
        let names = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        names.filter(|name| name.starts_with("CRM_ACCESS_")).map(str::to_owned).collect()
    };
    assert_eq!(named(&template().to_string()), named(&config));
}

#[test]
fn deployed_table_equals_the_table_of_the_store() {
    let tables = resources("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 1);
    let table = &tables[0];
    let schema = |pk: &str, sk: &str| json!([{ "AttributeName": pk, "KeyType": "HASH" }, { "AttributeName": sk, "KeyType": "RANGE" }]);
    let attributes = [PK, SK].into_iter().chain(Index::ALL.into_iter().flat_map(|index| [index.pk(), index.sk()]));
    let attributes: Vec<Value> =
        attributes.map(|name| json!({ "AttributeName": name, "AttributeType": "S" })).collect();
    assert_eq!(table.property("AttributeDefinitions"), &json!(attributes));
    assert_eq!(table.property("KeySchema"), &schema(PK, SK));
    let indexes = Index::ALL.into_iter().map(|index| {
        json!({
            "IndexName": index.name(),
            "KeySchema": schema(index.pk(), index.sk()),
            "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": PROJECTED },
        })
    });
    assert_eq!(table.property("GlobalSecondaryIndexes"), &indexes.collect::<Value>());
    let expiry = json!({ "AttributeName": EXPIRES, "Enabled": true });
    assert_eq!(table.property("TimeToLiveSpecification"), &expiry);
    assert_eq!(table.property("BillingMode"), "PAY_PER_REQUEST");
}

#[test]
fn functions_have_only_the_permissions_they_need() {
    let roles = resources("AWS::IAM::Role");
    let functions = functions();
    assert_eq!(roles.len(), functions.len());
    for role in &roles {
        assert!(!role.contains("*"), "everything is granted in {}", role.name);
        assert!(!role.contains("dynamodb:Scan"), "Scan is granted in {}", role.name);
        // The function of the web page reads no table.
        assert_eq!(role.contains("dynamodb:"), role.name != "ConsoleRole", "the table in {}", role.name);
    }
    for function in functions {
        // Every function has its own role.
        let resource = &function.resource;
        let name = resource.value("Role")["Fn::GetAtt"].as_str().unwrap().strip_suffix(".Arn").unwrap();
        assert_eq!(name, resource.value("LogGroup")["Ref"].as_str().unwrap().replace("Logs", "Role"));
        let role = roles.iter().find(|role| role.name == name).unwrap();
        // Functions with the queue's URL may send, functions triggered by the queue may receive. Functions without a
        // waiting caller publish to the bus.
        let receives = function.events.contains("SQS");
        let writes_in_bulk =
            ["set-contacts-access", "set-filter-access", "bulk-worker"].contains(&function.folder.as_str());
        for (action, may) in [
            ("sqs:SendMessage", resource.contains("CRM_ACCESS_QUEUE_URL")),
            ("sqs:ReceiveMessage", receives),
            ("sqs:DeleteMessage", receives),
            ("events:PutEvents", !function.is_http()),
            ("dynamodb:PartiQLInsert", writes_in_bulk),
            ("dynamodb:PartiQLUpdate", writes_in_bulk),
        ] {
            assert_eq!(role.contains(action), may, "{action} of {name}");
        }
        let only_reads =
            function.is_http() && function.routes.iter().all(|[method, _]| ["GET", "HEAD"].contains(&method.as_str()));
        let writes = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLUpdate", "PartiQLInsert"];
        // A list may request the compaction of postings, but only in the partition of these requests.
        let statements = role.values("Statement").into_iter().flat_map(|list| list.as_array().unwrap());
        let grants: String =
            statements.filter(|grant| **grant != compaction_request()).map(ToString::to_string).collect();
        let may_write = writes.iter().any(|write| grants.contains(&format!("dynamodb:{write}")));
        assert_eq!(may_write, !only_reads, "writing of {name}");
    }
}

/// Returns the writes granted to a read-only function.
fn compaction_request() -> Value {
    json!({
        "Effect": "Allow",
        "Action": "dynamodb:PutItem",
        "Resource": { "Fn::GetAtt": "AccessTable.Arn" },
        "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["P#"] } },
    })
}

/// Returns whether a text in backticks is a path of this repository.
fn looks_like_a_path(text: &str) -> bool {
    const ENDINGS: [&str; 10] = ["rs", "md", "toml", "yaml", "json", "ndjson", "py", "sh", "snap", "lock"];
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let media_type = text.starts_with("application/") || text.starts_with("text/");
    let ending = text.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
    plain && !media_type && !text.starts_with('/') && (text.contains('/') || ending)
}

#[test]
fn paths_in_the_architecture_map_exist() {
    let map = read("ARCHITECTURE.md");
    let tree = tree();
    let named: BTreeSet<&str> = map.split('`').skip(1).step_by(2).filter(|text| looks_like_a_path(text)).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in &named {
        let path = Path::new(name);
        // The map may name a path relative to an earlier folder, such as `src/lib.rs`. Such a path may match anywhere.
        let at_root = path.components().next().is_some_and(|first| root().join(first).exists());
        let exists = if at_root { root().join(path).exists() } else { tree.iter().any(|there| there.ends_with(path)) };
        assert!(exists, "ARCHITECTURE.md names {name}, which is not there");
    }
    for folder in [
        "shared/limiter",
        "shared/models",
        "shared/store",
        "shared/jobs",
        "shared/api",
        "functions",
        "openapi",
        "engine",
        "local",
        "cli",
        "tests",
    ] {
        assert!(named.iter().any(|name| name.starts_with(folder)), "ARCHITECTURE.md does not name {folder}");
    }
}

#[test]
fn documented_monthly_costs_equal_the_computed_costs() {
    let text = read("docs/deploy.md");
    let sums = text.lines().find_map(|line| line.strip_prefix("| **Sum** | | **")).unwrap();
    let sums: Vec<f64> = sums.split("**").filter_map(|part| part.parse().ok()).skip(1).collect();
    let readme = read("README.md");
    let quoted = readme.split_once("Monthly cost:").unwrap().1;
    let quoted: Vec<f64> = quoted
        .split('$')
        .skip(1)
        .take(3)
        .map(|part| part.split_whitespace().next().unwrap().replace(',', "").parse().unwrap())
        .collect();
    let near = |(quoted, sum): (&f64, &f64)| (quoted - sum).abs() <= 0.0005 * sum;
    assert!(sums.len() == 3 && quoted.iter().zip(&sums).all(near), "{quoted:?}, {sums:?}");
}

/// Returns the Rust files, each with its text.
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
        // The virtual time of the tests defines a function of this name.
        let definition = concat!("fn sleep", "(");
        assert!(!tests.is_some_and(|tests| tests.replace(definition, "").contains(sleeps)), "{path} sleeps in a test");
    }
}

#[test]
fn key_prefixes_appear_in_one_file_only() {
    let (portal, rule) = (crate::portal::id("p"), "rule".parse::<RuleName>().unwrap());
    let (user, job) = (UserId::NIL, JobId::from_u128(0));
    let moment: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let contact = crate::portal::contact_id(1);
    let keys = [
        Key::Contact(portal.clone(), contact),
        Key::ContactTag(portal.clone(), contact, String::new()),
        Key::Access(portal.clone(), contact),
        Key::Move(portal.clone(), 0, moment, uuid::Uuid::nil()),
        Key::Removed(portal.clone(), contact),
        Key::Portal(portal.clone()),
        Key::Stage(portal.clone(), 1),
        Key::Type(portal.clone(), 1),
        Key::User(portal.clone(), user),
        Key::Tag(portal.clone(), String::new()),
        Key::Password(portal.clone(), user),
        Key::Address("mike@example.com".parse().unwrap(), portal.clone()),
        Key::Attempts([0; 32]),
        Key::TokenEntry(portal.clone(), [0; 32]),
        Key::Token([0; 32]),
        Key::SignInCode([0; 32]),
        Key::Job(portal.clone(), job),
        Key::JobShard(portal.clone(), job, 0),
        Key::Chunk(portal.clone(), job, 0, 0),
        Key::JobEntry(portal.clone(), user, job),
        Key::Rule(portal.clone(), rule.clone()),
        Key::OpenJob(portal.clone(), job),
        Key::DueRule(moment, portal.clone(), rule),
        Key::Posting(portal.clone(), user, [0; 16]),
        Key::Idempotency(portal, Author::User(user), "key".into()),
    ];
    // The prefix of a partition or sort key up to the first `#`, after a quotation mark as in source code.
    let parts = keys.iter().map(Key::encode).flat_map(|(pk, sk)| [pk, sk]).map(|part| match part.split_once('#') {
        Some((prefix, _)) => format!("\"{prefix}#"),
        None => format!("\"{part}\""),
    });
    // A portal and a time are values, not names.
    let values = ["\"p\"".to_owned(), "\"p#".into(), format!("\"{moment}#")];
    let mut forbidden: BTreeSet<String> = parts.filter(|part| !values.contains(part)).collect();
    for index in Index::ALL {
        forbidden.extend([index.name(), index.pk(), index.sk()].map(|name| format!("\"{name}\"")));
    }
    forbidden.extend([PK, SK].map(|name| format!("\"{name}\"")));
    for known in ["\"CHUNK#", "\"IDEMPOTENCY\"", "\"O#", "\"R#", "\"T#"] {
        assert!(forbidden.len() > 20 && forbidden.contains(known), "{forbidden:?}");
    }

    let product = ["shared/", "functions/", "openapi/", "engine/", "local/", "cli/"];
    let mut written = String::new();
    for (path, source) in sources() {
        if path == "shared/store/src/keys.rs" || path.starts_with("shared/store/src/keys/") {
            written += &source;
            continue;
        }
        if product.iter().any(|folder| path.starts_with(folder)) {
            for key in &forbidden {
                assert!(!source.contains(key), "{path} writes {key} of a key");
            }
        }
    }
    assert!(forbidden.iter().all(|key| written.contains(key)), "a key is not written in keys.rs");
}
