-- Calls as the acting account may read them: of accounts that it sees, and those within the cell that it pays a part of.
-- Who is called learns neither line, account nor carrier of the caller, nor his number where he hides it. No trace and no
-- attempts: they name carriers and accounts above. Of an account that came to be seen by a move, calls that began since.
set local role tandem_owner;

create view tandem.call_record with (security_invoker = true) as
  select c.rid, c.call_id, c.started_at, c.answered_at, c.ended_at, c.direction,
         case when w.is_caller or c.direction = 'in' then c.account_id else 0 end as account_id,
         case when w.is_caller then c.source else '' end as source,
         case when w.is_caller or not c.hidden then c.caller else 'anonymous' end as caller,
         c.callee, c.outcome, c.sip_status,
         case when w.is_caller or c.direction = 'in' then c.reason else '' end as reason,
         c.q850, c.ended_by, c.talk_ms, c.billed_s, c.hidden
    from (select tandem.visible_ids_v1() as ids, tandem.known_since() as known,
                 exists (select from tandem.account a
                          where a.id = tandem.acting_account_v1() and a.kind = 'root') as is_root) as viewer
   cross join tandem.cdr c
   cross join lateral (
     select c.account_id = any (viewer.ids)
            and c.started_at >= coalesce((viewer.known ->> c.account_id::text)::timestamptz, '-infinity') as is_told) as t
   cross join lateral (select viewer.is_root or (c.direction <> 'in' and t.is_told) as is_caller) as w
   where w.is_caller
      or (c.direction = 'in' and t.is_told)
      or (c.direction = 'internal' and exists (
            select from tandem.cdr_leg l
             where l.rid = c.rid and l.book = 'fund' and l.payer_id = any (viewer.ids)
               and c.started_at >= coalesce((viewer.known ->> l.payer_id::text)::timestamptz, '-infinity')));
comment on view tandem.call_record is 'Calls as the acting account may read them: hidden callers, carriers and traces are not in it.';
comment on column tandem.call_record.rid is 'As in cdr, like all that is not explained here.';
comment on column tandem.call_record.call_id is 'SIP Call-ID.';
comment on column tandem.call_record.started_at is 'INVITE.';
comment on column tandem.call_record.answered_at is '200; null = never answered.';
comment on column tandem.call_record.ended_at is 'BYE, CANCEL or final failure.';
comment on column tandem.call_record.direction is 'out, in, internal.';
comment on column tandem.call_record.account_id is 'Account that the call belongs to; 0 = another tenant''s, who called.';
comment on column tandem.call_record.source is 'Line or peer that called; empty for who was called.';
comment on column tandem.call_record.caller is 'Caller''s number; anonymous where he hides it from who was called.';
comment on column tandem.call_record.callee is 'Called number.';
comment on column tandem.call_record.outcome is 'What became of it.';
comment on column tandem.call_record.sip_status is 'Final SIP status to the caller; 0 = none.';
comment on column tandem.call_record.reason is 'Why it was refused or failed; empty where that is another tenant''s affair.';
comment on column tandem.call_record.q850 is 'Q.850 cause.';
comment on column tandem.call_record.ended_by is 'Who ended it.';
comment on column tandem.call_record.talk_ms is 'Measured talk time.';
comment on column tandem.call_record.billed_s is 'Billed talk time.';
comment on column tandem.call_record.hidden is 'The caller did not want to be seen.';
grant select on tandem.call_record to tandem_tool;
