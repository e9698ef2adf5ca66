// The service worker: an offline page, the signed list of endpoints, and messages that are pushed.
"use strict";

const SHELL = "shell-1", TRUST = "trust";
const PAGES = ["/offline", "/static/plaza.css", "/static/offline.js", "/static/plaza.js", "/static/icon.svg", "/static/icon-192.png"];
const KEY = "/endpoints.pub", LIST = "/endpoints.json", FORMAT = "plaza-endpoints-1";
const ASK_MS = 5000, AGAIN_MS = 600000;
let refreshed = 0;

self.addEventListener("install", (event) => event.waitUntil((async () => {
  await (await caches.open(SHELL)).addAll(PAGES);
  await refresh([LIST]);
  await self.skipWaiting();
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (![SHELL, TRUST].includes(name)) await caches.delete(name);
  await self.clients.claim();
})()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate") {
    event.respondWith(fetch(event.request).catch(() => caches.match("/offline")));
    if (Date.now() - refreshed > AGAIN_MS) event.waitUntil(refresh([LIST]).catch(() => {}));
  } else if (PAGES.includes(url.pathname)) {
    event.respondWith(fetch(event.request).catch(() => caches.match(event.request)));
  }
});

self.addEventListener("message", (event) => {
  if (event.data.do === "look") event.waitUntil(look().then((found) => event.ports[0].postMessage(found)));
});

// The key is the one the site gave when this app was first used; it is never taken anew.
async function pinned() {
  const trust = await caches.open(TRUST);
  const kept = await trust.match(KEY);
  if (kept) return (await kept.text()).trim();
  const answer = await ask(KEY);
  if (!answer) return null;
  await trust.put(KEY, new Response(answer));
  return answer.trim();
}

async function ask(url) {
  try {
    const answer = await fetch(url, { cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(ASK_MS) });
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}

// true or false; null where this browser can't tell.
async function isSigned(payload, signature, hex) {
  const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  let key;
  try {
    key = await crypto.subtle.importKey("raw", bytes(hex), { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
  return crypto.subtle.verify("Ed25519", key, bytes(signature), new TextEncoder().encode(payload));
}

async function stored() {
  const kept = await (await caches.open(TRUST)).match(LIST);
  return kept ? kept.json() : { list: null, signed: null };
}

// Take what is signed and newer. Without signatures, only what the site itself says, and never instead of a signed one.
async function refresh(urls) {
  refreshed = Date.now();
  const hex = await pinned();
  if (!hex) return;
  for (const text of await Promise.all(urls.map(ask))) {
    if (!text) continue;
    try {
      const { payload, signature } = JSON.parse(text);
      const signed = await isSigned(payload, signature, hex);
      const list = JSON.parse(payload), before = await stored();
      const older = before.list && before.signed && list.version <= before.list.version;
      const ownWords = signed === null && urls.length === 1 && urls[0] === LIST && !before.signed;
      if (list.format !== FORMAT || older || !(signed === true || ownWords)) continue;
      await (await caches.open(TRUST)).put(LIST, Response.json({ list, signed: signed === true }));
    } catch {
      continue; // not a list
    }
  }
}

async function answers(url) {
  try {
    await fetch(`${url}/healthz`, { mode: "no-cors", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(ASK_MS) });
    return true;
  } catch {
    return false;
  }
}

async function look() {
  await refresh([LIST]);
  let { list, signed } = await stored();
  if (!list) return { list, state: null, reachable: null };
  if (!signed) return { list, state: "unchecked", reachable: null };
  await refresh([LIST, ...list.mirrors, ...list.endpoints.map((url) => url + LIST)]);
  ({ list } = await stored());
  const state = Date.parse(list.expires) > Date.now() ? "current" : "late";
  for (const url of state === "current" ? list.endpoints : []) {
    if (new URL(url).origin !== location.origin && await answers(url)) return { list, state, reachable: url };
  }
  return { list, state, reachable: null };
}

self.addEventListener("push", (event) => {
  const said = event.data?.json() ?? {};
  const options = { body: said.body ?? "", icon: "/static/icon-192.png", tag: String(said.notification_id ?? ""), data: { url: said.url ?? "/" } };
  event.waitUntil(self.registration.showNotification(said.title ?? "Plaza", options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data.url, location.origin);
  event.waitUntil(self.clients.openWindow(url.origin === location.origin ? url.href : location.origin));
});
