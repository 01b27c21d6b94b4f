"""OpenAI's forms, chat completions and Responses, for the transports and the proxy.

They do no I/O and know no HTTP library.

Modules, from the ground up; each imports only from those above it:

    body          the body of a request: what of it is sealed, and which fields say how to send it
    error         the error object, and what OpenAI calls the kinds of errors
    chunks        a whole answer as a stream of chunks
    event_stream  these chunks as server-sent events, made piece by piece
    answer        a whole HTTP answer: a completion as JSON or as a stream, or an error
    chat_form     chat completions as one of the forms that the transports and the proxy take
    responses     Responses, translated to chat completions and back
"""
