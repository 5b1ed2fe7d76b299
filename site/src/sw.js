// Keeps the page for use without a connection, and adds the headers that threads need on hosts that send none.
const NAME = "hfmoe-site ";
const VERSION = NAME + "@VERSION@";
const FILES = /*@FILES@*/ [];
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(FILES)));
});

addEventListener("activate", (event) => {
  event.waitUntil(dropOld().then(() => clients.claim()));
});

// Other pages of this origin have caches of their own.
async function dropOld() {
  const old = (await caches.keys()).filter((name) => name.startsWith(NAME) && name !== VERSION);
  await Promise.all(old.map((name) => caches.delete(name)));
}

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  event.respondWith(answer(url.origin + url.pathname.replace(/\/$/, "/index.html"), event.request));
});

async function answer(address, request) {
  const cache = await caches.open(VERSION);
  let found = await cache.match(address);
  if (!found) {
    found = await fetch(request);
    if (found.ok && address.includes("/ort/")) await cache.put(address, found.clone());
  }
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
