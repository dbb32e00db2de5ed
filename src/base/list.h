// SPDX-License-Identifier: BSD-2-Clause
/* base/list.h - Intrusive doubly linked list; the caller brings the lock */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/types.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

static inline void list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Leaves @n linked to itself, so removing twice is harmless */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_for_each(pos, head) \
	for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)
/* The body may remove @pos */
#define list_for_each_safe(pos, tmp, head)                    \
	for ((pos) = (head)->next, (tmp) = (pos)->next;       \
	     (pos) != (head); (pos) = (tmp), (tmp) = (pos)->next)

#endif
