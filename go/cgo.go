package hysock

/*
#cgo pkg-config: hysock
#cgo noescape glue_take
#cgo nocallback glue_take
#cgo noescape glue_answer
#cgo nocallback glue_answer
#cgo noescape glue_start_answer
#cgo nocallback glue_start_answer
#cgo noescape glue_call_start
#cgo nocallback glue_call_start
#cgo noescape glue_exchange_head
#cgo nocallback glue_exchange_head
#cgo noescape glue_call_head
#cgo nocallback glue_call_head
#cgo noescape glue_exchange_read_start
#cgo nocallback glue_exchange_read_start
#cgo noescape glue_exchange_on_writable
#cgo nocallback glue_exchange_on_writable
#cgo noescape glue_call_read_start
#cgo nocallback glue_call_read_start
#cgo noescape hysock_exchange_read
#cgo nocallback hysock_exchange_read
#cgo noescape glue_exchange_write
#cgo nocallback glue_exchange_write
#cgo noescape hysock_exchange_finish
#cgo nocallback hysock_exchange_finish
#cgo noescape glue_call_on_writable
#cgo nocallback glue_call_on_writable
#cgo noescape glue_call_write
#cgo nocallback glue_call_write
#cgo noescape hysock_call_read
#cgo nocallback hysock_call_read
#cgo noescape glue_batch_size
#cgo nocallback glue_batch_size
#cgo noescape glue_batch_copy
#cgo nocallback glue_batch_copy
#cgo noescape glue_send
#cgo nocallback glue_send
#cgo noescape glue_send_batch
#cgo nocallback glue_send_batch
#cgo nocallback hysock_batch_free
#cgo nocallback hysock_call_free
#cgo nocallback hysock_exchange_free
#include "glue.h"
*/
import "C"
