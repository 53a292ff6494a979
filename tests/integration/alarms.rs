//! The alarms of the deployment: each fault that needs an operator raises an alarm, and the manual explains it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use jobs::JOB_FAILED;
use models::job::State;
use models::limits::MAX_TRIES;
use serde_json::{Value, json};
use store::keys::Index;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::house::read;
use crate::job_faults::{Bed, refusing};
use crate::template::{Resource, functions, resources, template};

/// Returns the alarm of this name.
fn alarm(name: &str) -> Resource {
    let found = resources("AWS::CloudWatch::Alarm").into_iter().find(|alarm| alarm.name == name);
    found.unwrap_or_else(|| panic!("the template has no alarm {name}"))
}

/// A buffer for log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Returns whether a log line matches a CloudWatch Logs filter pattern. Supports only the template's syntax: terms
/// `member = text` joined by `&&`.
fn matches(pattern: &str, line: &Value) -> bool {
    let pattern = pattern.strip_prefix("{ ").and_then(|pattern| pattern.strip_suffix(" }")).unwrap();
    pattern.split(" && ").all(|term| {
        let (member, text) = term.strip_prefix("$.").unwrap().split_once(" = ").unwrap();
        line[member] == serde_json::from_str::<Value>(text).unwrap()
    })
}

#[tokio::test]
async fn alarm_counts_each_failed_job_once_and_no_other_job() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(api::log::json_lines(lines.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);
    let filters = resources("AWS::Logs::MetricFilter");
    let count = || {
        let lines = lines.take();
        assert!(!lines.is_empty());
        let counts = filters
            .iter()
            .map(|filter| lines.iter().filter(|line| matches(filter.text("FilterPattern"), line)).count());
        counts.collect::<BTreeSet<_>>()
    };

    let bed = Bed::new(1).await;
    // The job exceeds its limit.
    let id = bed.enqueue_at_most(Some(0)).await;
    bed.world.work().await.unwrap();
    assert_eq!((bed.job(id).await.state, count()), (State::Failed, BTreeSet::from([1])));
    let id = bed.enqueue().await;
    bed.world.work().await.unwrap();
    assert_eq!((bed.job(id).await.state, count()), (State::Done, BTreeSet::from([0])));
    // The table refuses every write.
    let bed = Bed::new(1).await;
    let (id, message) = bed.enqueue_one().await;
    let worker = bed.process().await;
    worker.proxy.inject(refusing(|_| true));
    for _ in 1..MAX_TRIES {
        worker.work(&message).await.unwrap_err();
    }
    assert_eq!(count(), BTreeSet::from([0]));
    worker.work(&message).await.unwrap();
    assert_eq!((bed.job(id).await.state, count()), (State::Failed, BTreeSet::from([1])));
}

#[test]
fn functions_that_end_jobs_feed_the_failed_jobs_alarm_at_every_log_level() {
    let filters = resources("AWS::Logs::MetricFilter");
    let watched: BTreeSet<String> = filters.iter().map(|filter| filter.value("LogGroupName").to_string()).collect();
    let functions = functions();
    let end_jobs = functions.iter().filter(|function| !function.is_http());
    let logs: BTreeSet<String> = end_jobs.map(|function| function.resource.value("LogGroup").to_string()).collect();
    assert_eq!(watched, logs);
    let alarm = alarm("FailedJobs");
    for filter in &filters {
        // Every LogLevel includes errors.
        let pattern = format!("{{ $.level = \"ERROR\" && $.message = \"{JOB_FAILED}\" }}");
        assert_eq!(filter.text("FilterPattern"), pattern);
        assert_eq!(filter.value("MetricNamespace"), alarm.value("Namespace"));
        assert_eq!(filter.value("MetricName"), alarm.value("MetricName"));
        assert_eq!(filter.text("MetricValue"), "1");
    }
    assert_eq!(alarm.text("Statistic"), "Sum");
}

#[test]
fn schedule_that_calls_no_function_raises_an_alarm() {
    let functions = functions();
    let scheduled: Vec<_> = functions.iter().filter(|function| function.events.contains("ScheduleV2")).collect();
    assert_eq!(scheduled.len(), 1);
    let alarm = alarm("RunRulesStopped");
    let function = &scheduled[0].resource;
    assert_eq!(alarm.value("Dimensions"), &json!([{ "Name": "FunctionName", "Value": { "Ref": function.name } }]));
    assert_eq!((alarm.text("Namespace"), alarm.text("MetricName")), ("AWS/Lambda", "Invocations"));
    assert_eq!((alarm.text("ComparisonOperator"), alarm.number("Threshold")), ("LessThanThreshold", 1));
    // The metric of a function without calls has no data.
    assert_eq!(alarm.text("TreatMissingData"), "breaching");
    // The schedule sends failed calls to the dead-letter queue, which has an alarm.
    let dead_letters = json!({ "Arn": { "Fn::GetAtt": "RulesDeadLetterQueue.Arn" } });
    assert_eq!(function.value("DeadLetterConfig"), &dead_letters);
    let queue = json!([{ "Name": "QueueName", "Value": { "Fn::GetAtt": "RulesDeadLetterQueue.QueueName" } }]);
    assert_eq!(self::alarm("RulesDeadLetters").value("Dimensions"), &queue);
}

#[test]
fn throttling_of_the_table_and_of_each_index_raises_an_alarm() {
    let alarms = resources("AWS::CloudWatch::Alarm");
    let watched: BTreeSet<(&str, String)> = alarms
        .iter()
        .filter(|alarm| alarm.value("Namespace") == "AWS/DynamoDB")
        .map(|alarm| (alarm.text("MetricName"), alarm.value("Dimensions").to_string()))
        .collect();
    let table = json!({ "Name": "TableName", "Value": { "Ref": "AccessTable" } });
    let of_index = |index: Index| json!([table, { "Name": "GlobalSecondaryIndexName", "Value": index.name() }]);
    let dimensions: Vec<Value> = std::iter::once(json!([table])).chain(Index::ALL.into_iter().map(of_index)).collect();
    let expected = dimensions
        .iter()
        .flat_map(|of| ["ReadThrottleEvents", "WriteThrottleEvents"].map(|name| (name, of.to_string())));
    assert_eq!(watched, expected.collect());
}

#[test]
fn each_alarm_notifies_the_operator_and_is_documented() {
    let manual = read("docs/deploy.md");
    let alarms = resources("AWS::CloudWatch::Alarm");
    for alarm in &alarms {
        let name = &alarm.name;
        for actions in ["AlarmActions", "OKActions"] {
            assert!(alarm.value(actions).to_string().contains(r#"{"Ref":"AlarmTopicArn"}"#), "{name}");
        }
        if alarm.text("AlarmDescription").contains("docs/deploy.md") {
            let explained =
                manual.lines().any(|line| line.starts_with("### ") && line.contains("goes off") && line.contains(name));
            assert!(explained, "docs/deploy.md has no section on {name}");
        }
    }
    let titles = manual.lines().filter(|line| line.starts_with("### ") && line.contains("goes off"));
    let named = titles.flat_map(|title| title[4..].split([' ', ',']).filter(|word| word.len() > 4));
    for name in named.filter(|word| word.chars().next().is_some_and(char::is_uppercase)) {
        alarm(name);
    }
    assert!(manual.contains(&format!("{} in all.", alarms.len())), "{} alarms", alarms.len());
    assert!(manual.contains(&format!("| {} alarms |", alarms.len())), "{} alarms", alarms.len());
}

#[test]
fn manual_names_exactly_the_parameters_and_outputs_of_the_template() {
    let (manual, template) = (read("docs/deploy.md"), template());
    let names = |section: &str| template[section].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for parameter in names("Parameters") {
        let is_named = |line: &str| line.starts_with('|') && line.contains(&parameter);
        assert!(manual.lines().any(is_named), "docs/deploy.md does not explain {parameter}");
    }
    let outputs = names("Outputs");
    for line in manual.lines().filter(|line| line.contains(" of the outputs") && line.contains('=')) {
        let output = line.split("# ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(outputs.iter().any(|known| known == output), "the template has no output {output}");
    }
}

#[test]
fn commands_of_the_manual_use_only_variables_set_before() {
    let manual = read("docs/deploy.md");
    let mut known = BTreeSet::new();
    let mut used = 0;
    let mut in_commands = false;
    for line in manual.lines() {
        if line.trim_start().starts_with("```") {
            in_commands = line.trim_start() == "```sh";
            continue;
        }
        if !in_commands {
            continue;
        }
        for part in line.split('$').skip(1) {
            let name: String =
                part.trim_start_matches('{').chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            if !name.is_empty() {
                assert!(known.contains(&name), "docs/deploy.md uses {name} before it is set: {line}");
                used += 1;
            }
        }
        for word in line.trim_start().trim_start_matches("export ").split(' ') {
            if let Some((name, _)) = word.split_once('=')
                && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            {
                known.insert(name.to_owned());
            }
        }
    }
    assert!(used > 8, "{used} variables");
    for region in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        assert!(known.contains(region), "docs/deploy.md does not set {region}");
    }
}
