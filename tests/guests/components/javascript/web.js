// A web server in JavaScript, with the fetch event that runtimes on the server know.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  const text = { "content-type": "text/plain" };
  switch (pathname) {
    case "/echo":
      return new Response(request.body, { headers: text });
    case "/status":
      return new Response(null, { status: Number(search.slice(1)), headers: text });
    case "/trap":
      throw new Error("before the response");
    case "/fetch": {
      const body = request.method === "POST" ? await request.text() : undefined;
      const answer = await fetch(search.slice(1), { method: request.method, headers: { "x-from": "guest" }, body });
      return new Response(await answer.text(), { status: answer.status, headers: text });
    }
    case "/spin":
      for (;;);
    default: {
      const headers = [...request.headers].map(([name, value]) => `${name}: ${value}`);
      return new Response([request.method, request.url, ...headers].join("\n"), { headers: text });
    }
  }
}
