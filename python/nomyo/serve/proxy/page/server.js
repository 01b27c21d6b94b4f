// The proxy: its token, which lives in a variable of this module alone, and what it is asked for.

const TOKEN = /^[\x21-\x7e]+$/; // what an Authorization header can carry (RFC 9110, 5.5)

let token = null;

export class Failure extends Error {
  /** @param {number} status of HTTP; 0 where no answer came */
  constructor(status, { said = "", code = null, retryAfter = null } = {}) {
    super(said);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Ask the proxy; a request that is refused, or not answered in JSON, is a Failure. */
export async function call(path, options = {}) {
  const response = await reach(path, options);
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body !== null) return body;
  const { message: said = "", code = null } = body?.error ?? {};
  const retryAfter = response.headers.get("Retry-After");
  throw new Failure(response.ok ? 502 : response.status, { said, code, retryAfter });
}

async function reach(path, options) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const careful = { cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };
  try {
    return await fetch(path, { ...options, ...careful, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0);
  }
}

export const refusesToken = (error) => error.status === 401; // the proxy's own: the router's comes as 502

export const hasToken = () => token !== null;

/** Take a token, alone or in a whole address, if a header can carry it; tell whether it can. */
export function takeToken(typed) {
  const given = tokenIn(typed) ?? typed;
  if (!TOKEN.test(given)) return false;
  token = given;
  return true;
}

/** Take the token out of the address bar; tell whether there was one. */
export function takeTokenFromAddress() {
  const given = tokenIn(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (given !== null) token = given;
  return given !== null;
}

/** Return the token of an address with `#token=` in it, or null. */
function tokenIn(address) {
  const [, written = ""] = address.split("#token=");
  try {
    const given = decodeURIComponent(written);
    return TOKEN.test(given) ? given : null;
  } catch {
    return null; // a percent sign that escapes nothing
  }
}
