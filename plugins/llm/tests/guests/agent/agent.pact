// An agent with one tool, `length`: it asks a model, does what the model wants done, and asks again, until it answers.
record tool-call { id: string, name: string, arguments: string }
record message { role: string, content: string, tool-calls: list<tool-call>, tool-call-id: option<string> }
record tool { name: string, description: string, parameters: string }
record chat-request {
    model: string,
    messages: list<message>,
    tools: list<tool>,
    max-tokens: option<u32>,
    temperature: option<f64>,
    conversation: string,
    progress: bool,
}
record usage { prompt-tokens: u64, completion-tokens: u64, cost-micros: u64 }
record completion { message: message, finish-reason: string, usage: usage }
record agent { model: string, turns: u64, answer: string }

imports {
    theater:bus/llm {
        chat: func(request: chat-request) -> result<completion, string>
    }
}

exports {
    // Answers with what the model says in the end.
    ask: func(state: agent, question: string) -> result<tuple<agent, string>, string>
}
