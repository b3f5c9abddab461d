// Runs the scenario named in the address and reports what it returned, or why it could not.

const scenario = new URLSearchParams(location.search).get("scenario");

async function outcome() {
  try {
    const config = await (await fetch("/config.json")).json();
    const { run } = await import(`/${scenario}.js`);
    return { result: await run(config) };
  } catch (error) {
    return { failed: `${error}\n${error.stack}` };
  }
}

await fetch(`/report/${scenario}`, { method: "POST", body: JSON.stringify(await outcome()) });
