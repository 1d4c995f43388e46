"""A user's memory for LangChain: a retriever over it, and a chat history that observes by explicit calls.

Requires the extra `langchain`, which is langchain-core alone. Nothing else of recmem imports it.
"""

from feature_store.extras import install_command

try:
    from recmem.langchain.chat_history import MemoryChatHistory
    from recmem.langchain.memory_retriever import MemoryRetriever
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError(
        f"langchain: expected the package langchain-core, got none. Run {install_command('langchain')}."
    ) from error

__all__ = ["MemoryChatHistory", "MemoryRetriever"]
