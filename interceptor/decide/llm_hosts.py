"""Hosts of the APIs of language models, as data: what they send is what a model has written.

Hosts on which strangers put pages, models, functions or search results are not among them: those
are the open web. Written from the vendors' API references as of 2025; they were not fetched.
"""

from __future__ import annotations

from typing import Final

HOSTS: Final = (
    # platform.openai.com/docs/api-reference (also by region), learn.microsoft.com/azure/ai-services
    *("api.openai.com", "*.api.openai.com", "*.openai.azure.com", "*.services.ai.azure.com"),
    *("*.cognitiveservices.azure.com", "models.inference.ai.azure.com", "models.github.ai"),
    # docs.anthropic.com/en/api, ai.google.dev/api, cloud.google.com/vertex-ai/docs/reference/rest
    *("api.anthropic.com", "generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
    *("cloudcode-pa.googleapis.com", "*.aiplatform.googleapis.com"),
    # docs.github.com/copilot: allowlist of the proxies
    *("api.githubcopilot.com", "*.githubcopilot.com", "copilot-proxy.githubusercontent.com"),
    # docs.x.ai, docs.mistral.ai, docs.cohere.com, api-docs.deepseek.com, docs.perplexity.ai
    *("api.x.ai", "*.api.x.ai", "api.mistral.ai", "codestral.mistral.ai", "api.cohere.com"),
    *("api.cohere.ai", "api.deepseek.com", "api.perplexity.ai"),
    # console.groq.com, inference-docs.cerebras.ai, docs.fireworks.ai, docs.together.ai
    *("api.groq.com", "api.cerebras.ai", "api.fireworks.ai", "api.together.xyz", "api.together.ai"),
    # openrouter.ai/docs, docs.sambanova.ai, docs.api.nvidia.com, deepinfra.com, novita.ai, ai21
    *("openrouter.ai", "api.sambanova.ai", "integrate.api.nvidia.com", "api.deepinfra.com"),
    *("api.novita.ai", "api.ai21.com", "api.hyperbolic.xyz", "api.studio.nebius.ai"),
    *("api.friendli.ai", "api.lambda.ai", "llm.chutes.ai", "api.venice.ai", "api.reka.ai"),
    # platform.moonshot.ai, z.ai, minimax.io, dashscope, qianfan, volcengine, hunyuan, stepfun
    *("api.moonshot.ai", "api.moonshot.cn", "api.z.ai", "open.bigmodel.cn", "api.minimax.io"),
    *("api.minimaxi.com", "dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
    *("qianfan.baidubce.com", "ark.cn-beijing.volces.com", "api.hunyuan.cloud.tencent.com"),
    *("api.stepfun.com", "api.siliconflow.cn", "api.siliconflow.com", "api.lingyiwanwu.com"),
    # docs.cursor.com, docs.windsurf.com, sourcegraph.com: models behind editors
    *("api2.cursor.sh", "*.api2.cursor.sh", "server.codeium.com", "inference.codeium.com"),
    "router.huggingface.co",
)
"""Host patterns."""

WITHIN: Final = (
    # docs.aws.amazon.com/general/latest/gr/bedrock.html
    ("bedrock-runtime.", ".amazonaws.com"),
    ("bedrock-runtime-fips.", ".amazonaws.com"),
    # cloud.google.com/vertex-ai/docs/general/locations: REGION-aiplatform.googleapis.com
    ("", "-aiplatform.googleapis.com"),
)
"""Begin and end of names with a region in between, which is one label."""
