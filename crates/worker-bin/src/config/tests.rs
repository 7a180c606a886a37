//! Precedence, sources, and what is said of mistakes.

use std::fs;

use tempfile::TempDir;

use super::*;

struct Bed {
    directory: TempDir,
    layers: Layers,
}

impl Bed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layers = Layers { directory: directory.path().to_owned(), ..Layers::default() };
        Self { directory, layers }
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.layers.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, setting: Setting, value: &str) -> Self {
        self.layers.flags.push((setting, value.to_owned()));
        self
    }

    fn load(&self) -> Config {
        Config::load(&self.layers).unwrap()
    }

    fn error(&self) -> String {
        let error = Config::load(&self.layers).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = Bed::new().load();
    assert_eq!(config.broker, "sqlite://lovage.db");
    assert_eq!(config.results_url(), "sqlite://lovage.db");
    assert_eq!(show_queues(&config.queues), "default");
    assert_eq!(config.source(Setting::Broker), Source::Default);
    assert!(config.warnings.is_empty());
}

#[test]
fn each_layer_writes_over_the_weaker_one() {
    let bed = Bed::new().file("lovage.toml", "# ours\nconcurrency = 1\n");
    assert_eq!(bed.load().concurrency, Some(1));
    assert!(bed.load().source(Setting::Concurrency).to_string().ends_with("lovage.toml line 2"));
    let bed = bed.file(".env", "# theirs\n\nexport LOVAGE_CONCURRENCY=2\n");
    assert_eq!(bed.load().concurrency, Some(2));
    assert!(bed.load().source(Setting::Concurrency).to_string().ends_with(".env line 3"));
    let bed = bed.variable("LOVAGE_CONCURRENCY", "3");
    assert_eq!(bed.load().concurrency, Some(3));
    let bed = bed.flag(Setting::Concurrency, "4");
    assert_eq!(bed.load().concurrency, Some(4));
    assert_eq!(bed.load().source(Setting::Concurrency).to_string(), "the flag --concurrency");
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = Bed::new().variable("LOVAGE_BROKER_URL", "").load();
    assert_eq!(config.broker, "sqlite://lovage.db");
}

#[test]
fn a_whole_file_is_read() {
    let config = Bed::new()
        .file(
            "lovage.toml",
            r#"
            broker = "redis://localhost"
            results = "sqlite://results.db"
            queues = ["critical:3", "default"]
            lease = "1m"
            time_limit = 90
            log_level = "INFO"
            [routes]
            "videos.*" = "media"
            "#,
        )
        .load();
    assert_eq!(config.results_url(), "sqlite://results.db");
    assert_eq!(show_queues(&config.queues), "critical:3, default");
    assert_eq!(config.lease, Some(Duration::from_secs(60)));
    assert_eq!(config.time_limit, Some(Duration::from_secs(90)));
    assert_eq!(config.routes.queue("videos.resize").as_str(), "media");
}

#[test]
fn a_wrong_value_names_setting_source_and_what_is_right() {
    for (bed, parts) in [
        (
            Bed::new().file("lovage.toml", "name = \"a\"\nconcurrency = \"many\""),
            vec!["`concurrency`", "lovage.toml line 2", "number from 1 to 100000", "`many`"],
        ),
        (
            Bed::new().variable("LOVAGE_LEASE", "2h"),
            vec!["`lease`", "environment variable LOVAGE_LEASE", "1s to 1h", "2h"],
        ),
        (
            Bed::new().file(".env", "A=1\nLOVAGE_GRACE=soon"),
            vec!["`grace`", "LOVAGE_GRACE in", ".env line 2", "1h30m"],
        ),
        (Bed::new().flag(Setting::Queues, "a:0"), vec!["`queues`", "flag --queues", "1 to 100"]),
        (Bed::new().flag(Setting::Queues, "a,a"), vec!["named twice"]),
        (Bed::new().flag(Setting::LogLevel, "loud"), vec!["off, error, warn, info, debug or trace"]),
        (Bed::new().variable("LOVAGE_ROUTES", "videos"), vec!["PATTERN=QUEUE"]),
        (Bed::new().file("lovage.toml", "queues = [1]"), vec!["`queues`", "list of such texts"]),
        (Bed::new().file("lovage.toml", "\nlease = \n"), vec!["line 2", "not valid TOML"]),
    ] {
        let error = bed.error();
        for part in parts {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let error = Bed::new().file("lovage.toml", "\nconcurency = 3").error();
    assert!(error.contains("no setting `concurency`") && error.contains("line 2"), "{error}");
    assert!(error.contains("did you mean `concurrency`?"), "{error}");
}

#[test]
fn an_unknown_variable_is_a_warning_with_a_suggestion() {
    let bed = Bed::new()
        .variable("LOVAGE_BROKER", "redis://:hunter2@host")
        .variable("LOVAGE_TEST_REDIS_URL", "redis://host")
        .file(".env", "LOVAGE_QUEUE=a");
    let warnings = bed.load().warnings.join("\n");
    assert!(warnings.contains("did you mean LOVAGE_BROKER_URL?"), "{warnings}");
    assert!(warnings.contains("did you mean LOVAGE_QUEUES?"), "{warnings}");
    assert!(!warnings.contains("LOVAGE_TEST") && !warnings.contains("hunter2"), "{warnings}");
}

#[test]
fn a_named_file_must_exist() {
    let error = Bed::new().variable("LOVAGE_CONFIG", "other.toml").error();
    assert!(error.contains("other.toml does not exist"), "{error}");
    let bed = Bed::new().variable("LOVAGE_CONFIG", "other.toml").file("other.toml", "name = \"n\"");
    assert_eq!(bed.load().name.as_deref(), Some("n"));
}

#[test]
fn no_secret_is_shown() {
    let error = Bed::new().variable("LOVAGE_BROKER_URL", "redi://:hunter2@host").error();
    assert!(error.contains("redi://***@host"), "{error}");
    let error = Bed::new().file(".env", "X=1\nLOVAGE_BROKER_URL=redis://:hunter2@host 'a").error();
    assert!(error.contains(".env line 2") && !error.contains("hunter2"), "{error}");
    let config = Bed::new().variable("LOVAGE_BROKER_URL", "redis://:hunter2@host").load();
    assert_eq!(config.shown(Setting::Broker), "redis://***@host");
    assert_eq!(config.shown(Setting::Results), "redis://***@host (where the broker is)");
}

#[test]
fn the_schedule_is_where_somebody_says_or_with_a_broker_in_sql() {
    let url = |broker: &str| Bed::new().flag(Setting::Broker, broker).load();
    assert_eq!(url("postgres://h/d").schedules_url(), "postgres://h/d");
    let redis = url("redis://h:1");
    assert_eq!(redis.schedules_url(), "sqlite://lovage.db");
    assert!(redis.shown(Setting::Schedules).ends_with("(a file beside the beat)"));
    let bed = Bed::new()
        .flag(Setting::Broker, "redis://h:1")
        .variable("LOVAGE_SCHEDULES_URL", "postgres://u:p@h/d");
    assert_eq!(bed.load().schedules_url(), "postgres://u:p@h/d");
    assert!(!bed.load().shown(Setting::Schedules).contains(":p@"));
    assert_eq!(Bed::new().load().schedules_url(), "sqlite://lovage.db");
}

#[test]
fn an_entry_in_the_file_is_told_with_its_line() {
    let entry = |text: &str| Bed::new().file("lovage.toml", &format!("\n[schedules.e]\n{text}\n"));
    let interval = "schedule = { kind = 'interval', every = '5s' }";
    let good = entry(&format!("task = 't'\n{interval}\nargs = [1_000, 0.5, true, 1979-05-27T07:32:00Z]"));
    let declared = good.load().declared.unwrap();
    let entry_of = declared[0].entry(&Routes::new([("t", "q")]).unwrap());
    assert_eq!(entry_of.args, r#"[1000,0.5,true,"1979-05-27T07:32:00Z"]"#);
    assert_eq!(entry_of.queue.as_str(), "q");
    for (text, part) in [
        (interval, "missing field `task`"),
        ("task = 't'", "missing field `schedule`"),
        ("tusk = 't'", "unknown field `tusk`"),
        ("name = 'e'", "`name` stands in the table's title"),
        ("task = 't'\nargs = [nan]\nschedule = 1", "JSON has no number nan"),
    ] {
        let error = entry(text).error();
        assert!(
            error.contains("the schedule `e` from ") && error.contains("lovage.toml line 2: "),
            "{error}"
        );
        assert!(error.contains(part), "{error}");
    }
    assert!(Bed::new().load().declared.is_none());
}
