// Conversations of the Vercel AI SDK that grow in turns, each turn with a tool.
//
//     node ai_sdk_conversations.mjs PROVIDER HOW STORE CONVERSATIONS TURNS     as ai_sdk.mjs has the first three
//
// ROUNDHOUSE_URL and ROUNDHOUSE_KEY say where the gateway is.

import { createOpenAI } from '@ai-sdk/openai'
import { createOpenResponses } from '@ai-sdk/open-responses'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

globalThis.AI_SDK_LOG_WARNINGS = false

const [provider, how, store, conversations, turns] = process.argv.slice(2)
const { ROUNDHOUSE_URL: url, ROUNDHOUSE_KEY: apiKey } = process.env

const models = {
  openai: () => createOpenAI({ baseURL: url, apiKey }).responses('tiny'),
  'open-responses': () => createOpenResponses({ name: 'roundhouse', url: `${url}/responses`, apiKey })('tiny'),
}
const model = models[provider]()

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
})

async function turn(messages) {
  const request = {
    model,
    system: 'Be brief.',
    messages,
    tools: { weather },
    stopWhen: stepCountIs(4),
    maxRetries: 0,
    providerOptions: store === 'forget' ? { openai: { store: false } } : {},
  }
  if (how === 'generate') return (await generateText(request)).response.messages
  const errors = []
  const said = streamText({ ...request, onError: ({ error }) => errors.push(error) })
  await said.consumeStream()
  if (errors.length) throw errors[0]
  return (await said.response).messages
}

const all = Array.from({ length: Number(conversations) }, () => [])
for (let number = 0; number < Number(turns); number++) {
  for (const [index, messages] of all.entries()) {
    messages.push({ role: 'user', content: `Conversation ${index}, question ${number}?` })
    messages.push(...(await turn(messages)))
  }
}
