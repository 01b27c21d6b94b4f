// Words for what went wrong: what happened, and what to do.

const BY_CODE = new Map([
  ["router_authentication_failed", [
    "The router does not accept the proxy's API key.",
    "Start the proxy with a valid NOMYO_API_KEY.",
  ]],
  ["no_router", [
    "There is no router at the given address.",
    "Start the proxy with the right --base-url.",
  ]],
  ["refused_before_router", [
    "Something before the router refused the proxy.",
    "Ask who runs the network or the gateway in between.",
  ]],
  ["router_unreachable", [
    "The proxy got no answer from the router.",
    "See whether its address is right, then retry. A request that took too long may have been served, and billed.",
  ]],
  ["not_secure", ["The proxy did not go on: it would not have been safe.", "Find out why before you retry."]],
]);

const BY_STATUS = new Map([
  [0, ["The proxy does not answer.", "See whether `nomyo proxy` is still running, then retry."]],
  [400, ["The request was not accepted.", "Try another model, or clear the conversation."]],
  [401, ["The proxy does not accept this page's token.", "Enter the token of the proxy that runs now, then retry."]],
  [403, ["This is not allowed.", "Choose another model or tier, then retry."]],
  [404, ["This model is not offered.", "Choose another model, then retry."]],
  [413, ["The conversation is too long.", "Clear it, or send a shorter message; earlier images count, too."]],
  [429, ["Too many requests.", null]],
  [502, ["The router gave no answer that can be used.", "Retry, or ask the router's operator."]],
  [503, ["The router is not available now.", null]],
  [504, ["The router took too long.", "Retry; the request may have been served, and billed."]],
]);

/**
 * Return two sentences for a failure.
 * @param {number} status of HTTP; 0 where no answer came
 * @param {?string} code the proxy's own word for it
 * @param {?string} retryAfter the header, in seconds
 */
export function adviceFor({ status, code, retryAfter }) {
  const known = BY_CODE.get(code) ?? BY_STATUS.get(status);
  if (!known) return [`The proxy failed (${status}).`, "Retry, or see what the proxy printed."];
  const long = /^\d+$/.test(retryAfter ?? "") ? `${retryAfter} seconds` : "a little";
  return [known[0], known[1] ?? `Wait ${long}, then retry.`];
}
