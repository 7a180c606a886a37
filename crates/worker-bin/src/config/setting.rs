//! Which settings there are, and what each is called where.

/// A setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Setting {
    Broker,
    Results,
    Outbox,
    Schedules,
    Name,
    Queues,
    Concurrency,
    Blocking,
    Lease,
    Grace,
    BurstTimeout,
    TimeLimit,
    SoftTimeLimit,
    LogLevel,
    LogFormat,
    Routes,
    ResultTtl,
    FailureTtl,
    MaxInterval,
    Metrics,
    DashboardListen,
    DashboardBase,
    DashboardUsers,
    DashboardProxies,
    DashboardUserHeader,
    DashboardOperators,
    DashboardGroupsHeader,
    DashboardOperatorGroups,
    DashboardSecureCookies,
}

/// The names of a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// In `lovage.toml`; `dashboard.listen` is `listen` in the table `dashboard`.
    pub(crate) key: &'static str,
    /// On the command line, where it has a flag.
    pub(crate) flag: &'static str,
    /// In the environment and `.env`.
    pub(crate) variable: &'static str,
}

impl Setting {
    /// All of them.
    pub(crate) const ALL: [Self; 29] = [
        Self::Broker,
        Self::Results,
        Self::Outbox,
        Self::Schedules,
        Self::Name,
        Self::Queues,
        Self::Concurrency,
        Self::Blocking,
        Self::Lease,
        Self::Grace,
        Self::BurstTimeout,
        Self::TimeLimit,
        Self::SoftTimeLimit,
        Self::LogLevel,
        Self::LogFormat,
        Self::Routes,
        Self::ResultTtl,
        Self::FailureTtl,
        Self::MaxInterval,
        Self::Metrics,
        Self::DashboardListen,
        Self::DashboardBase,
        Self::DashboardUsers,
        Self::DashboardProxies,
        Self::DashboardUserHeader,
        Self::DashboardOperators,
        Self::DashboardGroupsHeader,
        Self::DashboardOperatorGroups,
        Self::DashboardSecureCookies,
    ];

    /// Its names.
    pub(crate) const fn spec(self) -> Spec {
        let (key, flag, variable) = match self {
            Self::Broker => ("broker", "--broker", "LOVAGE_BROKER_URL"),
            Self::Results => ("results", "--results", "LOVAGE_RESULTS_URL"),
            Self::Outbox => ("outbox", "--outbox", "LOVAGE_OUTBOX_URL"),
            // `schedules` in the file are the entries.
            Self::Schedules => ("schedules_url", "--schedules", "LOVAGE_SCHEDULES_URL"),
            Self::Name => ("name", "--name", "LOVAGE_NAME"),
            Self::Queues => ("queues", "--queues", "LOVAGE_QUEUES"),
            Self::Concurrency => ("concurrency", "--concurrency", "LOVAGE_CONCURRENCY"),
            Self::Blocking => ("blocking", "--blocking", "LOVAGE_BLOCKING"),
            Self::Lease => ("lease", "--lease", "LOVAGE_LEASE"),
            Self::Grace => ("grace", "--grace", "LOVAGE_GRACE"),
            Self::BurstTimeout => ("burst_timeout", "--burst-timeout", "LOVAGE_BURST_TIMEOUT"),
            Self::TimeLimit => ("time_limit", "--time-limit", "LOVAGE_TIME_LIMIT"),
            Self::SoftTimeLimit => ("soft_time_limit", "--soft-time-limit", "LOVAGE_SOFT_TIME_LIMIT"),
            Self::LogLevel => ("log_level", "--log-level", "LOVAGE_LOG_LEVEL"),
            Self::LogFormat => ("log_format", "--log-format", "LOVAGE_LOG_FORMAT"),
            Self::Routes => ("routes", "", "LOVAGE_ROUTES"),
            Self::ResultTtl => ("result_ttl", "", "LOVAGE_RESULT_TTL"),
            Self::FailureTtl => ("failure_ttl", "", "LOVAGE_FAILURE_TTL"),
            Self::MaxInterval => ("max_interval", "--max-interval", "LOVAGE_MAX_INTERVAL"),
            Self::Metrics => ("metrics", "--metrics", "LOVAGE_METRICS"),
            Self::DashboardListen => ("dashboard.listen", "--listen", "LOVAGE_DASHBOARD_LISTEN"),
            Self::DashboardBase => ("dashboard.base", "--base", "LOVAGE_DASHBOARD_BASE"),
            Self::DashboardUsers => ("dashboard.users", "--users", "LOVAGE_DASHBOARD_USERS"),
            Self::DashboardProxies => ("dashboard.proxies", "--proxies", "LOVAGE_DASHBOARD_PROXIES"),
            Self::DashboardUserHeader => {
                ("dashboard.user_header", "--user-header", "LOVAGE_DASHBOARD_USER_HEADER")
            }
            Self::DashboardOperators => ("dashboard.operators", "--operators", "LOVAGE_DASHBOARD_OPERATORS"),
            Self::DashboardGroupsHeader => {
                ("dashboard.groups_header", "--groups-header", "LOVAGE_DASHBOARD_GROUPS_HEADER")
            }
            Self::DashboardOperatorGroups => {
                ("dashboard.operator_groups", "--operator-groups", "LOVAGE_DASHBOARD_OPERATOR_GROUPS")
            }
            Self::DashboardSecureCookies => {
                ("dashboard.secure_cookies", "--secure-cookies", "LOVAGE_DASHBOARD_SECURE_COOKIES")
            }
        };
        Spec { key, flag, variable }
    }

    /// The setting of a key of `lovage.toml`.
    pub(crate) fn by_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.spec().key == key)
    }

    /// The setting of a variable.
    pub(crate) fn by_variable(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.spec().variable == name)
    }
}
