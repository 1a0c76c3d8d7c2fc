// Language models behind OpenAI-compatible endpoints that the host names. The whole answer is recorded, so that a replay
// asks nobody.
@package: string = "theater:bus"
@external: list<string> = ["chat"]

// What a model wants done: `arguments` is a JSON object, as the model wrote it.
record tool-call { id: string, name: string, arguments: string }
// One turn. `role` is system, developer, user, assistant or tool; a tool's answer names the call that it answers.
record message { role: string, content: string, tool-calls: list<tool-call>, tool-call-id: option<string> }
// What a model may ask for: `parameters` is a JSON schema.
record tool { name: string, description: string, parameters: string }
record chat-request {
    // ENDPOINT/MODEL, as `models` lists them.
    model: string,
    messages: list<message>,
    tools: list<tool>,
    max-tokens: option<u32>,
    temperature: option<f64>,
    // Whose budget it takes from; any name.
    conversation: string,
    // Send the words to the caller of the operation as they come.
    progress: bool,
}
// Costs are millionths of the currency that the host's prices are in.
record usage { prompt-tokens: u64, completion-tokens: u64, cost-micros: u64 }
record completion { message: message, finish-reason: string, usage: usage }
record budget { tokens: u64, cost-micros: u64 }

interface llm {
    exports {
        // The model's next turn, or why there is none.
        chat: func(request: chat-request) -> result<completion, string>
        // The models that may be asked, sorted.
        models: func() -> list<string>
        // What is left for a conversation.
        left: func(conversation: string) -> budget
    }
}
