// Service worker: keeps the page for visits without a network. RELEASE is filled in by kaogan export.
const RELEASE = { version: "", files: [] };
const SCOPE = `kaogan ${self.registration.scope} `;
const CACHE = SCOPE + RELEASE.version;

self.addEventListener("install", (event) => {
  const fresh = RELEASE.files.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) if (name.startsWith(SCOPE) && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

// The scope is the page's own address; other addresses in it, such as the licence's, are not the page.
// What is kept never asks the network: a page of one version never meets files of another.
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !url.href.startsWith(self.registration.scope)) return;
  const answer = async () => {
    const cache = await caches.open(CACHE);
    const wanted = url.origin + url.pathname === self.registration.scope ? "index.html" : event.request;
    return (await cache.match(wanted, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(answer());
});
