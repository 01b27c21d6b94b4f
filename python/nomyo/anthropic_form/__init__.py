"""Anthropic's form, Messages, translated into chat completions and back. It does no I/O and knows no HTTP library.

Modules, from the ground up; each imports only from those above it:

    fields          the fields of a request, and the paths by which errors name them
    content         what users, system prompts and tools say: text, images, documents
    tools           tools, and the choice among them
    turns           the messages of a conversation
    body            the body of a request: the chat completion that is sealed, and how its answer is read
    error           the error object
    message         a chat completion as a whole message
    events          a message as a sequence of server-sent events
    token_estimate  how many tokens a request has, about
    model_list      the list of models
    messages_form   Messages as one of the forms that the transports and the proxy take
"""
