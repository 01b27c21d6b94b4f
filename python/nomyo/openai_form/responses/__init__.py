"""OpenAI's Responses, translated to chat completions and back: one request, one answer, no memory of earlier ones.

Rules:

- What means something here is translated, or refused with the path of the field (`input[3].content[0].type`). Nothing
  that a caller says is dropped if the answer would be another one for it.
- What needs a memory on the server is refused: `previous_response_id`, `conversation`, `background`, stored prompts,
  references to items. Every answer says `"store": false`.
- Kinds of tools that only OpenAI's servers or models have are left out if others are offered beside them.
- An answer that is odd, but clear, becomes a well-formed response. Any other one is an `UnfitAnswerError`.

Source: https://platform.openai.com/docs/api-reference/responses

Modules, from the ground up; each imports only from those above it:

    fields           reads the fields of a request; an error has the path of its field
    parts            the parts of a message's content
    tools            the tools that a request offers, and which of them may be called
    messages         the items of a request as messages of a chat
    request          the whole request: a chat completion to seal, and what the answer says of the request
    output           the items of an answer
    usage            the counts of tokens
    response_object  a whole response
    events           a whole response as the sequence of events of a stream
    event_lines      these events as server-sent events, in short lines
    form             Responses as one of the forms that the transports and the proxy take
"""
