//! Styles and scripts, compiled in. They are found by their exact name, so no path leads anywhere else.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::digest;
use crate::call::Call;
use crate::problem::Problem;

/// One file.
struct Asset {
    /// Its name and the beginning of its digest: another content is another name, so browsers may keep it.
    name: String,
    kind: &'static str,
    text: &'static str,
}

static CSS: LazyLock<Asset> =
    LazyLock::new(|| asset("app", "css", "text/css; charset=utf-8", include_str!("app.css")));
static JS: LazyLock<Asset> =
    LazyLock::new(|| asset("app", "js", "text/javascript; charset=utf-8", include_str!("app.js")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| asset("leaf", "svg", "image/svg+xml", include_str!("leaf.svg")));

/// The path of the styles.
pub(crate) fn css() -> String {
    format!("/assets/{}", CSS.name)
}

/// The path of the script.
pub(crate) fn js() -> String {
    format!("/assets/{}", JS.name)
}

/// The path of the icon.
pub(crate) fn icon() -> String {
    format!("/assets/{}", ICON.name)
}

pub(crate) async fn serve(call: Call) -> Result<Response, Problem> {
    let name = call.parts.uri.path().rsplit('/').next().unwrap_or_default();
    let found = [&*CSS, &*JS, &*ICON].into_iter().find(|asset| asset.name == name);
    Ok(found.map_or_else(not_found, |asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, asset.text).into_response()
    }))
}

/// There is no such file.
fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is no such page\n").into_response()
}

fn asset(stem: &str, ending: &str, kind: &'static str, text: &'static str) -> Asset {
    let version = digest(text).iter().take(6).fold(String::new(), |mut version, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(version, "{byte:02x}");
        version
    });
    Asset { name: format!("{stem}-{version}.{ending}"), kind, text }
}
