"""The OpenAPI document: what the routes are, what they take and what they answer.

A line of `OPERATIONS` is: method, path, parameters, answer. A parameter is text unless it says otherwise (`:boolean`,
`:integer`, `[]` for several); a property of an entity may be null when it ends in `?`. Routes that no line describes
are listed all the same, so that the document is never short of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.routing import Route

Schema = dict[str, Any]
FILES = "/media/"
PAGED = "max_id since_id min_id limit:integer"
OPERATIONS = f"""
POST /api/v1/apps | client_name redirect_uris scopes website | Application
GET /api/v1/apps/verify_credentials | | Application
POST /api/v1/accounts | username email password agreement:boolean locale | Token
GET /api/v1/accounts/verify_credentials | | Account
PATCH /api/v1/accounts/update_credentials | display_name note avatar:file header:file fields_attributes[0][name] fields_attributes[0][value] | Account
DELETE /api/v1/profile/avatar | | Account
DELETE /api/v1/profile/header | | Account
GET /api/v1/accounts/familiar_followers | id[] | FamiliarFollowers[]
GET /api/v1/accounts/lookup | acct | Account
GET /api/v1/accounts/search | q limit:integer offset:integer | Account[]
GET /api/v1/accounts/relationships | id[] | Relationship[]
GET /api/v1/accounts/{{id}} | | Account
GET /api/v1/accounts/{{id}}/statuses | {PAGED} only_media:boolean exclude_replies:boolean pinned:boolean | Status[]
GET /api/v1/accounts/{{id}}/followers | {PAGED} | Account[]
GET /api/v1/accounts/{{id}}/following | {PAGED} | Account[]
POST /api/v1/accounts/{{id}}/follow | | Relationship
POST /api/v1/accounts/{{id}}/unfollow | | Relationship
POST /api/v1/accounts/{{id}}/block | | Relationship
POST /api/v1/accounts/{{id}}/unblock | | Relationship
POST /api/v1/accounts/{{id}}/mute | notifications:boolean duration:integer | Relationship
POST /api/v1/accounts/{{id}}/unmute | | Relationship
POST /api/v1/accounts/{{id}}/remove_from_followers | | Relationship
GET /api/v1/blocks | {PAGED} | Account[]
GET /api/v1/mutes | {PAGED} | Account[]
POST /api/v1/statuses | status media_ids[] spoiler_text sensitive:boolean visibility language in_reply_to_id | Status
GET /api/v1/statuses | id[] | Status[]
GET /api/v1/statuses/{{id}} | | Status
PUT /api/v1/statuses/{{id}} | status media_ids[] spoiler_text sensitive:boolean language | Status
DELETE /api/v1/statuses/{{id}} | | Status
GET /api/v1/statuses/{{id}}/context | | Context
GET /api/v1/statuses/{{id}}/history | | StatusEdit[]
GET /api/v1/statuses/{{id}}/source | | StatusSource
GET /api/v1/statuses/{{id}}/favourited_by | | Account[]
POST /api/v1/statuses/{{id}}/favourite | | Status
POST /api/v1/statuses/{{id}}/unfavourite | | Status
POST /api/v1/statuses/{{id}}/bookmark | | Status
POST /api/v1/statuses/{{id}}/unbookmark | | Status
GET /api/v1/favourites | {PAGED} | Status[]
GET /api/v1/bookmarks | {PAGED} | Status[]
GET /api/v1/timelines/home | {PAGED} | Status[]
GET /api/v1/timelines/public | {PAGED} local:boolean remote:boolean only_media:boolean | Status[]
GET /api/v1/notifications | {PAGED} types[] exclude_types[] account_id | Notification[]
GET /api/v1/notifications/{{id}} | | Notification
GET /api/v1/notifications/unread_count | | Count
POST /api/v1/notifications/clear | | Empty
POST /api/v1/notifications/{{id}}/dismiss | | Empty
GET /api/v2/notifications | {PAGED} types[] exclude_types[] account_id grouped_types[] | GroupedNotifications
GET /api/v2/notifications/unread_count | | Count
GET /api/v2/notifications/{{group_key}} | | GroupedNotifications
GET /api/v2/notifications/{{group_key}}/accounts | | Account[]
POST /api/v2/notifications/{{group_key}}/dismiss | | Empty
GET /api/v1/markers | timeline[] | Empty
POST /api/v1/markers | home[last_read_id] notifications[last_read_id] | Empty
GET /api/v2/search | q type limit:integer offset:integer max_id | Found
POST /api/v1/media | file:file description | MediaAttachment
POST /api/v2/media | file:file description | MediaAttachment
GET /api/v1/media/{{id}} | | MediaAttachment
PUT /api/v1/media/{{id}} | description | MediaAttachment
POST /api/v1/reports | account_id status_ids[] category comment rule_ids[] | Report
GET /api/v1/decisions | | Decision[]
POST /api/v1/decisions/{{id}}/appeal | text | Empty
GET /api/v1/admin/reports | {PAGED} resolved:boolean | AdminReport[]
GET /api/v1/admin/reports/{{id}} | | AdminReport
POST /api/v1/admin/reports/{{id}}/assign_to_self | | AdminReport
POST /api/v1/admin/reports/{{id}}/unassign | | AdminReport
POST /api/v1/admin/reports/{{id}}/resolve | | AdminReport
POST /api/v1/admin/reports/{{id}}/reopen | | AdminReport
POST /api/v1/admin/reports/{{id}}/decide | action rule reason hold:boolean | AdminReport
POST /api/v1/admin/reports/claim | count:integer | AdminReport[]
POST /api/v1/admin/statuses/{{id}}/takedown | reason | Takedown
POST /api/v1/admin/accounts/{{id}}/action | type text rule report_id | Empty
POST /api/v1/admin/accounts/{{id}}/unsuspend | text | AdminAccount
POST /api/v1/admin/appeals/{{id}}/decide | outcome answer | Appeal
GET /api/v1/admin/appeals | | Appeal[]
POST /oauth/token | grant_type client_id client_secret username password code redirect_uri scope code_verifier | Token
POST /oauth/revoke | client_id client_secret token | Empty
"""
ENTITIES = {
    "Application": "id name website? scopes:array redirect_uri redirect_uris:array vapid_key",
    "Token": "access_token token_type scope created_at:integer",
    "Account": "id username acct display_name locked:boolean bot:boolean created_at note url uri avatar avatar_static "
    "header header_static followers_count:integer following_count:integer statuses_count:integer last_status_at? "
    "emojis:array fields:array",
    "Relationship": "id following:boolean followed_by:boolean blocking:boolean blocked_by:boolean muting:boolean "
    "muting_notifications:boolean requested:boolean domain_blocking:boolean showing_reblogs:boolean note",
    "MediaAttachment": "id type url preview_url meta:object description? blurhash?",
    "Status": "id created_at in_reply_to_id? in_reply_to_account_id? sensitive:boolean spoiler_text visibility language? "
    "uri url replies_count:integer reblogs_count:integer favourites_count:integer edited_at? favourited:boolean "
    "reblogged:boolean muted:boolean bookmarked:boolean content account:object media_attachments:array mentions:array "
    "tags:array emojis:array",
    "StatusEdit": "content spoiler_text sensitive:boolean created_at account:object media_attachments:array emojis:array",
    "StatusSource": "id text spoiler_text",
    "Context": "ancestors:array descendants:array",
    "Notification": "id type created_at account:object",
    "GroupedNotifications": "accounts:array statuses:array notification_groups:array",
    "FamiliarFollowers": "id accounts:array",
    "Count": "count:integer",
    "Empty": "",
    "Found": "accounts:array statuses:array hashtags:array",
    "Report": "id action_taken:boolean category comment created_at status_ids:array target_account:object?",
    "AdminReport": "id action_taken:boolean category comment created_at updated_at statuses:array rules:array due_at?",
    "AdminAccount": "id username suspended:boolean account:object",
    "Takedown": "status_id seq:integer done:boolean",
    "Decision": "id action rule reason created_at outcome? appealed:boolean",
    "Appeal": "id account decision_id text action rule reason outcome? created_at",
    "Error": "error",
}


def document(routes: Iterable[Route], base: str, version: str) -> Schema:
    """The whole document (OpenAPI 3.1)."""
    described = dict(_described())
    paths: dict[str, Schema] = {}
    for route in (one for one in routes if not one.path.startswith(FILES)):
        for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
            parameters, answer = described.get((method, route.path), ("", ""))
            operation = _operation(method, route, parameters, answer)
            paths.setdefault(route.path, {}).setdefault(method.lower(), operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Plaza",
            "version": version,
            "description": "The part of Mastodon's client API that is here.",
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": {name: _entity(text) for name, text in ENTITIES.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _described() -> Iterable[tuple[tuple[str, str], tuple[str, str]]]:
    for line in OPERATIONS.strip().splitlines():
        head, parameters, answer = (part.strip() for part in line.split("|"))
        method, path = head.split()
        yield (method, path), (parameters, answer)


def _operation(method: str, route: Route, parameters: str, answer: str) -> Schema:
    summary = (route.endpoint.__doc__ or "").strip().splitlines()[0]
    taken = [_parameter(text) for text in parameters.split()]
    inside = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if method == "GET":
        inside += [{"name": name, "in": "query", "schema": schema} for name, schema in taken]
    operation: Schema = {"summary": summary, "parameters": inside, "responses": _responses(answer)}
    if method != "GET" and taken:
        operation["requestBody"] = {"content": _bodies(dict(taken))}
    return operation


def _parameter(text: str) -> tuple[str, Schema]:
    name, _, kind = text.partition(":")
    if name.endswith("[]"):
        return name, {"type": "array", "items": {"type": "string"}}
    if kind == "file":
        return name, {"type": "string", "format": "binary"}
    return name, {"type": kind or "string"}


def _bodies(properties: Schema) -> Schema:
    """A form or JSON alike; a file only in a multipart form."""
    schema = {"type": "object", "properties": properties}
    if any(one.get("format") == "binary" for one in properties.values()):
        return {"multipart/form-data": {"schema": schema}}
    plain = {name.removesuffix("[]"): one for name, one in properties.items()}
    return {
        "application/json": {"schema": {"type": "object", "properties": plain}},
        "application/x-www-form-urlencoded": {"schema": schema},
    }


def _responses(answer: str) -> Schema:
    entity: Schema = {"$ref": f"#/components/schemas/{answer.removesuffix('[]')}"} if answer else {}
    schema = {"type": "array", "items": entity} if answer.endswith("[]") else entity
    refused = {"$ref": "#/components/schemas/Error"}
    return {
        "200": {"description": "Done", "content": {"application/json": {"schema": schema}}},
        "4XX": {"description": "Refused, and why", "content": {"application/json": {"schema": refused}}},
        "503": {"description": "Not right now", "content": {"application/json": {"schema": refused}}},
    }


def _entity(text: str) -> Schema:
    properties: dict[str, Schema] = {}
    for part in text.split():
        name, _, kind = part.rstrip("?").partition(":")
        kinds = [kind or "string"]
        properties[name] = {"type": [*kinds, "null"] if part.endswith("?") else kinds[0]}
    return {"type": "object", "required": list(properties), "properties": properties}
