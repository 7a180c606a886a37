//! The description of the API, from the table of routes.

use axum::Json;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::call::Call;
use crate::params::{Need, Param};
use crate::problem::Problem;
use crate::routes::{Route, Surface, table};

pub(crate) async fn document(call: Call) -> Result<Response, Problem> {
    Ok(Json(describe(&call.app.base)).into_response())
}

/// The description of the API under a base, by OpenAPI 3.1.
pub(crate) fn describe(base: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in table().iter().filter(|route| route.surface == Surface::Api) {
        let path = paths.entry(route.path.to_string()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lovage dashboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "See and steer tasks, queues, workers and schedules. Instants are RFC 3339."
        },
        "servers": [{ "url": if base.is_empty() { "/" } else { base } }],
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "lovage_session",
                    "description": "A browser's session; what changes something needs the header X-CSRF-Token too."
                }
            }
        }
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let schema = route.schema.map_or_else(|| json!({}), |schema| json!(schema(generator)));
    let role = match route.permission {
        Permission::Public => "nobody in particular",
        Permission::Viewer => "viewer",
        Permission::Operator => "operator",
    };
    let mut operation = json!({
        "summary": route.what,
        "x-role": role,
        "responses": {
            "200": { "description": "Done.", "content": { "application/json": { "schema": schema } } },
            "default": {
                "description": "It was not done: 400 the request is wrong, 401 nobody is logged in, 403 not allowed, 404 there is no such thing, 409 it changed meanwhile, 501 the backend cannot, 503 the backend does not answer.",
                "content": { "application/json": { "schema": problem() } }
            }
        }
    });
    if route.method == Method::POST {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body(&route.params) } } });
    } else if !route.params.is_empty() {
        operation["parameters"] = route.params.iter().map(query).collect();
    }
    operation
}

fn query(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": "query",
        "description": param.what,
        "required": param.need == Need::Required,
        "schema": kind(param)
    })
}

fn body(params: &[Param]) -> Value {
    let properties: Map<String, Value> = params
        .iter()
        .map(|param| {
            let mut schema = kind(param);
            schema["description"] = param.what.into();
            (param.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> =
        params.iter().filter(|param| param.need == Need::Required).map(|param| param.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn kind(param: &Param) -> Value {
    match param.need {
        Need::Many => json!({ "type": "array", "items": { "type": "string" } }),
        Need::Required | Need::Optional => json!({ "type": "string" }),
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["status", "sentence"],
            "properties": {
                "status": { "type": "integer" },
                "sentence": { "type": "string", "description": "What is wrong, and what to do." }
            }
        } }
    })
}
