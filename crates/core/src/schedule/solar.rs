//! The sun: rise, set, noon and the twilights of a place.
//!
//! Position by Jean Meeus, Astronomical Algorithms, chapters 25 (low accuracy, 0.01°) and 28, which NOAA's solar
//! calculator uses too. Good to a few seconds of time between 1950 and 2100, away from the edges of polar day and
//! night. Slots are rounded to whole seconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ScheduleError;
use crate::Timestamp;

const DAY: f64 = 86_400.0;
/// Days that are searched for the next event. Near the poles there may be one in a year only.
const SEARCH: u32 = 5 * 366;
/// Halvings of half a day until less than a tenth of a second is left.
const HALVINGS: u32 = 20;

/// What the sun does, by Celery's names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SolarEvent {
    /// The sun comes up to 18° below the horizon: the night ends.
    DawnAstronomical,
    /// The sun comes up to 12° below the horizon.
    DawnNautical,
    /// The sun comes up to 6° below the horizon.
    DawnCivil,
    /// The upper edge of the sun comes up, with 34' of refraction.
    Sunrise,
    /// The sun stands highest.
    SolarNoon,
    /// The upper edge of the sun goes down, with 34' of refraction.
    Sunset,
    /// The sun goes down to 6° below the horizon.
    DuskCivil,
    /// The sun goes down to 12° below the horizon.
    DuskNautical,
    /// The sun goes down to 18° below the horizon: the night begins.
    DuskAstronomical,
}

/// By the sun at a place. A day on which the event does not happen, as in polar day and night, has no slot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "SolarText", into = "SolarText")]
pub struct Solar {
    event: SolarEvent,
    latitude: f64,
    longitude: f64,
}

impl Solar {
    /// An event at a latitude (-90 to 90 degrees, north is positive) and a longitude (-180 to 180 degrees, east is
    /// positive).
    ///
    /// # Errors
    /// When the latitude or the longitude is out of range.
    pub fn new(event: SolarEvent, latitude: f64, longitude: f64) -> Result<Self, ScheduleError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(ScheduleError::new("latitude", latitude, "-90 to 90 degrees, north is positive"));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(ScheduleError::new("longitude", longitude, "-180 to 180 degrees, east is positive"));
        }
        Ok(Self { event, latitude, longitude })
    }

    /// What the sun does.
    #[must_use]
    pub fn event(&self) -> SolarEvent {
        self.event
    }

    /// In degrees, north is positive.
    #[must_use]
    pub fn latitude(&self) -> f64 {
        self.latitude
    }

    /// In degrees, east is positive.
    #[must_use]
    pub fn longitude(&self) -> f64 {
        self.longitude
    }

    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        // Whole seconds below 2^53 are exact.
        #[expect(clippy::cast_precision_loss, reason = "only names the day to begin with")]
        let after = (instant.as_micros() / 1_000_000) as f64;
        let first = ((after + self.longitude * 240.0) / DAY).floor() - 1.0;
        (0..SEARCH).filter_map(|day| self.on_day(first + f64::from(day))).find(|slot| *slot > instant)
    }

    /// The event of a day, counted from 1970-01-01 at the place itself.
    fn on_day(&self, day: f64) -> Option<Timestamp> {
        let noon = self.noon(day);
        let (midnight, altitude) = match self.event.side() {
            Side::Noon => return Some(whole_seconds(noon)),
            Side::Morning(altitude) => (self.noon(day - 1.0).midpoint(noon), altitude),
            Side::Evening(altitude) => (self.noon(day + 1.0).midpoint(noon), altitude),
        };
        self.crossing(midnight, noon, altitude).map(whole_seconds)
    }

    /// When the sun passes an altitude between its lowest and its highest point; `None` when it stays on one side.
    fn crossing(&self, midnight: f64, noon: f64, altitude: f64) -> Option<f64> {
        let limit = altitude.to_radians().sin();
        let is_up = |at: f64| self.height(at) >= limit;
        if is_up(midnight) || !is_up(noon) {
            return None;
        }
        let (mut down, mut up) = (midnight, noon);
        for _ in 0..HALVINGS {
            let middle = down.midpoint(up);
            if is_up(middle) { up = middle } else { down = middle }
        }
        Some(up)
    }

    /// The sine of the sun's altitude.
    fn height(&self, at: f64) -> f64 {
        let sun = Sun::at(at);
        let hour_angle = (at / 240.0 + sun.equation_of_time + self.longitude - 180.0).to_radians();
        let latitude = self.latitude.to_radians();
        latitude.sin() * sun.declination.sin() + latitude.cos() * sun.declination.cos() * hour_angle.cos()
    }

    /// When the sun stands highest.
    fn noon(&self, day: f64) -> f64 {
        let mean = day * DAY + DAY / 2.0 - self.longitude * 240.0;
        let near = mean - Sun::at(mean).equation_of_time * 240.0;
        mean - Sun::at(near).equation_of_time * 240.0
    }
}

/// In words: `at sunset, 37.8175 S 144.9672 E`.
impl fmt::Display for Solar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let north = if self.latitude < 0.0 { 'S' } else { 'N' };
        let east = if self.longitude < 0.0 { 'W' } else { 'E' };
        let event = self.event.words();
        write!(f, "at {event}, {} {north} {} {east}", self.latitude.abs(), self.longitude.abs())
    }
}

impl SolarEvent {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::DawnAstronomical,
        Self::DawnNautical,
        Self::DawnCivil,
        Self::Sunrise,
        Self::SolarNoon,
        Self::Sunset,
        Self::DuskCivil,
        Self::DuskNautical,
        Self::DuskAstronomical,
    ];

    /// The name, such as `dawn_civil`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DawnAstronomical => "dawn_astronomical",
            Self::DawnNautical => "dawn_nautical",
            Self::DawnCivil => "dawn_civil",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar_noon",
            Self::Sunset => "sunset",
            Self::DuskCivil => "dusk_civil",
            Self::DuskNautical => "dusk_nautical",
            Self::DuskAstronomical => "dusk_astronomical",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::DawnAstronomical => "astronomical dawn",
            Self::DawnNautical => "nautical dawn",
            Self::DawnCivil => "civil dawn",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar noon",
            Self::Sunset => "sunset",
            Self::DuskCivil => "civil dusk",
            Self::DuskNautical => "nautical dusk",
            Self::DuskAstronomical => "astronomical dusk",
        }
    }

    fn side(self) -> Side {
        match self {
            Self::DawnAstronomical => Side::Morning(ASTRONOMICAL),
            Self::DawnNautical => Side::Morning(NAUTICAL),
            Self::DawnCivil => Side::Morning(CIVIL),
            Self::Sunrise => Side::Morning(HORIZON),
            Self::SolarNoon => Side::Noon,
            Self::Sunset => Side::Evening(HORIZON),
            Self::DuskCivil => Side::Evening(CIVIL),
            Self::DuskNautical => Side::Evening(NAUTICAL),
            Self::DuskAstronomical => Side::Evening(ASTRONOMICAL),
        }
    }
}

impl fmt::Display for SolarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SolarEvent {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::ALL.into_iter().find(|event| event.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            ScheduleError::new("event", text, format!("one of {names}"))
        })
    }
}

/// 34' of refraction and the 16' of the sun's radius.
const HORIZON: f64 = -50.0 / 60.0;
const CIVIL: f64 = -6.0;
const NAUTICAL: f64 = -12.0;
const ASTRONOMICAL: f64 = -18.0;

/// On which side of noon an event is, and the altitude of the sun in degrees.
enum Side {
    Morning(f64),
    Noon,
    Evening(f64),
}

/// Where the sun is.
struct Sun {
    /// In radians.
    declination: f64,
    /// How far a sundial is ahead of the mean sun, in degrees.
    equation_of_time: f64,
}

impl Sun {
    /// At seconds since the Unix epoch.
    fn at(at: f64) -> Self {
        let centuries = (at / DAY - 10_957.5) / 36_525.0;
        let mean_longitude = 280.466_46 + centuries * (36_000.769_83 + centuries * 0.000_303_2);
        let anomaly = (357.529_11 + centuries * (35_999.050_29 - centuries * 0.000_153_7)).to_radians();
        let center = (1.914_602 - centuries * (0.004_817 + centuries * 0.000_014)) * anomaly.sin()
            + (0.019_993 - centuries * 0.000_101) * (2.0 * anomaly).sin()
            + 0.000_289 * (3.0 * anomaly).sin();
        let node = (125.04 - 1_934.136 * centuries).to_radians();
        let nutation = -0.004_78 * node.sin();
        let longitude = (mean_longitude + center - 0.005_69 + nutation).to_radians();
        let obliquity = (23.439_291 - 0.013_004_2 * centuries + 0.002_56 * node.cos()).to_radians();
        let ascension = (obliquity.cos() * longitude.sin()).atan2(longitude.cos()).to_degrees();
        let ahead = mean_longitude - 0.005_718_3 - ascension + nutation * obliquity.cos();
        Self {
            declination: (obliquity.sin() * longitude.sin()).asin(),
            equation_of_time: (ahead + 180.0).rem_euclid(360.0) - 180.0,
        }
    }
}

/// How a solar schedule is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SolarText {
    event: String,
    latitude: f64,
    longitude: f64,
}

impl TryFrom<SolarText> for Solar {
    type Error = ScheduleError;

    fn try_from(text: SolarText) -> Result<Self, ScheduleError> {
        Self::new(text.event.parse()?, text.latitude, text.longitude)
    }
}

impl From<Solar> for SolarText {
    fn from(solar: Solar) -> Self {
        Self { event: solar.event.to_string(), latitude: solar.latitude, longitude: solar.longitude }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer there is")]
fn whole_seconds(at: f64) -> Timestamp {
    Timestamp::from_micros((at.round() as i64).saturating_mul(1_000_000))
}
