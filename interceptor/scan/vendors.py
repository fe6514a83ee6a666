"""Where vendors take keys that have no format: for variables that are named after a vendor.

A rule says where a key of its format is at home. Keys of these vendors look like any other text, so
that a rule knows them only next to the vendor's name, and never in a header; the variable that
holds one says whose it is. From the vendors' API references, 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HEADERS: Final[tuple[str, ...]] = (
    *("header:authorization", "header:x-api-key", "header:api-key", "header:x-auth-token"),
    *("header:x-vault-token", "header:private-token", "header:proxy-authorization"),
    *("header:x-access-token", "header:apikey", "header:x-token", "header:token"),
)
"""Headers in which APIs take keys."""

HOSTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # language models, speech and search
        "ai21": ("api.ai21.com",),
        "aimlapi": ("api.aimlapi.com",),
        "aleph": ("api.aleph-alpha.com",),
        "assemblyai": ("api.assemblyai.com", "*.assemblyai.com"),
        "baseten": ("*.baseten.co",),
        "browserless": ("*.browserless.io",),
        "clarifai": ("api.clarifai.com",),
        "codestral": ("codestral.mistral.ai", "api.mistral.ai"),
        "cohere": ("api.cohere.com", "api.cohere.ai"),
        "composio": ("backend.composio.dev", "mcp.composio.dev"),
        "context7": ("context7.com", "mcp.context7.com"),
        "co": ("api.cohere.com", "api.cohere.ai"),
        "dashscope": ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        "deepgram": ("api.deepgram.com", "agent.deepgram.com"),
        "deepinfra": ("api.deepinfra.com",),
        "deepl": ("api.deepl.com", "api-free.deepl.com"),
        "exa": ("api.exa.ai", "mcp.exa.ai"),
        "hyperbolic": ("api.hyperbolic.xyz",),
        "inception": ("api.inceptionlabs.ai",),
        "kimi": ("api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"),
        "kaggle": ("www.kaggle.com", "api.kaggle.com"),
        "linkup": ("api.linkup.so",),
        "minimax": ("api.minimax.io", "api.minimax.chat", "api.minimaxi.com"),
        "mistral": ("api.mistral.ai", "codestral.mistral.ai"),
        "moonshot": ("api.moonshot.ai", "api.moonshot.cn"),
        "nebius": ("api.studio.nebius.com", "api.studio.nebius.ai", "api.tokenfactory.nebius.com"),
        "novita": ("api.novita.ai",),
        "ollama": ("ollama.com",),
        "qdrant": ("*.cloud.qdrant.io",),
        "sambanova": ("api.sambanova.ai",),
        "scrapingbee": ("app.scrapingbee.com",),
        "serper": ("google.serper.dev", "scrape.serper.dev"),
        "smithery": ("*.smithery.ai",),
        "stability": ("api.stability.ai",),
        "siliconflow": ("api.siliconflow.com", "api.siliconflow.cn"),
        "unstructured": ("api.unstructuredapp.io", "platform.unstructuredapp.io"),
        "volcengine": ("*.volces.com",),
        "weaviate": ("*.weaviate.cloud", "*.weaviate.network"),
        "you": ("api.ydc-index.io", "api.you.com"),
        "zai": ("api.z.ai",),
        "zhipu": ("open.bigmodel.cn", "api.z.ai"),
        "zhipuai": ("open.bigmodel.cn", "api.z.ai"),
        # observation of agents
        "agentops": ("api.agentops.ai", "otlp.agentops.ai"),
        "arize": ("*.arize.com",),
        "phoenix": ("app.phoenix.arize.com",),
        # clouds and hosting
        "backblaze": ("*.backblazeb2.com", "api.backblaze.com"),
        "b2": ("*.backblazeb2.com",),
        "expo": ("api.expo.dev", "exp.host"),
        "exoscale": ("*.exoscale.com",),
        "hcloud": ("api.hetzner.cloud",),
        "hetzner": ("api.hetzner.cloud", "dns.hetzner.com"),
        "ibm": ("*.cloud.ibm.com", "*.ml.cloud.ibm.com"),
        "linode": ("api.linode.com",),
        "railway": ("backboard.railway.com", "backboard.railway.app"),
        "scaleway": ("api.scaleway.com", "api.scaleway.ai"),
        "scw": ("api.scaleway.com", "api.scaleway.ai"),
        "vultr": ("api.vultr.com",),
        "watsonx": ("*.cloud.ibm.com", "*.ml.cloud.ibm.com"),
        # code and its tools
        "chromatic": ("*.chromatic.com",),
        "codecov": ("codecov.io", "*.codecov.io"),
        "coveralls": ("coveralls.io",),
        "semgrep": ("semgrep.dev",),
        "spacelift": ("*.app.spacelift.io",),
        "travis": ("api.travis-ci.com",),
        "nx": ("cloud.nx.app", "*.nx.app"),
        # services
        "amplitude": ("*.amplitude.com",),
        "bigcommerce": ("api.bigcommerce.com",),
        "cloudinary": ("api.cloudinary.com",),
        "coinbase": ("api.coinbase.com",),
        "customerio": ("*.customer.io",),
        "freshdesk": ("*.freshdesk.com",),
        "kraken": ("api.kraken.com",),
        "mailjet": ("api.mailjet.com",),
        "mixpanel": ("*.mixpanel.com",),
        "ngrok": ("api.ngrok.com",),
        "plivo": ("api.plivo.com",),
        "reddit": ("www.reddit.com", "oauth.reddit.com"),
        "sparkpost": ("api.sparkpost.com", "api.eu.sparkpost.com"),
        "webflow": ("api.webflow.com",),
        "zerotier": ("api.zerotier.com",),
    }
)
"""First word of a variable's name -> hosts of that vendor's API."""

IN_URL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "alphavantage": ("www.alphavantage.co",),
        "browserless": ("*.browserless.io",),
        "newsapi": ("newsapi.org",),
        "openweather": ("api.openweathermap.org",),
        "openweathermap": ("api.openweathermap.org",),
        "scrapingbee": ("app.scrapingbee.com",),
        "serpapi": ("serpapi.com",),
        "serp": ("serpapi.com",),
    }
)
"""The same for those that take keys in the URL."""
