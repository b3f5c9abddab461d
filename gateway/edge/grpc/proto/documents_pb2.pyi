from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateDocumentRequest(_message.Message):
    __slots__ = ("filename", "size", "content_type", "sha256", "upload_method")
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_METHOD_FIELD_NUMBER: _ClassVar[int]
    filename: str
    size: int
    content_type: str
    sha256: str
    upload_method: str
    def __init__(self, filename: _Optional[str] = ..., size: _Optional[int] = ..., content_type: _Optional[str] = ..., sha256: _Optional[str] = ..., upload_method: _Optional[str] = ...) -> None: ...

class CreateDocumentResponse(_message.Message):
    __slots__ = ("document_id", "workflow_id", "upload", "complete_url")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_URL_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    workflow_id: str
    upload: Upload
    complete_url: str
    def __init__(self, document_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., upload: _Optional[_Union[Upload, _Mapping]] = ..., complete_url: _Optional[str] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("method", "url", "expires_at", "fields", "headers", "part_size")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PART_SIZE_FIELD_NUMBER: _ClassVar[int]
    method: str
    url: str
    expires_at: str
    fields: _containers.ScalarMap[str, str]
    headers: _containers.ScalarMap[str, str]
    part_size: int
    def __init__(self, method: _Optional[str] = ..., url: _Optional[str] = ..., expires_at: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ..., headers: _Optional[_Mapping[str, str]] = ..., part_size: _Optional[int] = ...) -> None: ...

class SignPartsRequest(_message.Message):
    __slots__ = ("document_id", "parts")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    parts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, document_id: _Optional[str] = ..., parts: _Optional[_Iterable[int]] = ...) -> None: ...

class SignPartsResponse(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[PartPermission]
    def __init__(self, parts: _Optional[_Iterable[_Union[PartPermission, _Mapping]]] = ...) -> None: ...

class PartPermission(_message.Message):
    __slots__ = ("n", "url", "headers", "expires_at")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    N_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    n: int
    url: str
    headers: _containers.ScalarMap[str, str]
    expires_at: str
    def __init__(self, n: _Optional[int] = ..., url: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., expires_at: _Optional[str] = ...) -> None: ...

class CompleteDocumentRequest(_message.Message):
    __slots__ = ("document_id", "parts")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    parts: _containers.RepeatedCompositeFieldContainer[UploadedPart]
    def __init__(self, document_id: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[UploadedPart, _Mapping]]] = ...) -> None: ...

class UploadedPart(_message.Message):
    __slots__ = ("n", "etag")
    N_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    n: int
    etag: str
    def __init__(self, n: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class CompleteDocumentResponse(_message.Message):
    __slots__ = ("document_id", "status")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    status: str
    def __init__(self, document_id: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class ListDocumentsRequest(_message.Message):
    __slots__ = ("limit", "cursor", "owner")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    cursor: str
    owner: str
    def __init__(self, limit: _Optional[int] = ..., cursor: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class ListDocumentsResponse(_message.Message):
    __slots__ = ("documents", "next_cursor")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    next_cursor: str
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetDocumentRequest(_message.Message):
    __slots__ = ("document_id", "owner")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    owner: str
    def __init__(self, document_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class GetDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("document_id", "filename", "content_type", "size", "status", "progress", "error", "created_at", "updated_at", "sha256", "stage", "ahead", "warnings")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    filename: str
    content_type: str
    size: int
    status: str
    progress: float
    error: str
    created_at: str
    updated_at: str
    sha256: str
    stage: str
    ahead: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, document_id: _Optional[str] = ..., filename: _Optional[str] = ..., content_type: _Optional[str] = ..., size: _Optional[int] = ..., status: _Optional[str] = ..., progress: _Optional[float] = ..., error: _Optional[str] = ..., created_at: _Optional[str] = ..., updated_at: _Optional[str] = ..., sha256: _Optional[str] = ..., stage: _Optional[str] = ..., ahead: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class GetContentRequest(_message.Message):
    __slots__ = ("document_id", "owner")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    owner: str
    def __init__(self, document_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class GetContentResponse(_message.Message):
    __slots__ = ("url",)
    URL_FIELD_NUMBER: _ClassVar[int]
    url: str
    def __init__(self, url: _Optional[str] = ...) -> None: ...

class DeleteDocumentRequest(_message.Message):
    __slots__ = ("document_id", "owner")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    owner: str
    def __init__(self, document_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class DeleteDocumentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
