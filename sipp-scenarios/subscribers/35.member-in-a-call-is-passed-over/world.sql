select world.chain('u35', '88635');
select world.subscriber('one@u35.example', 'u35-customer', 'demo-secret', null);
select world.subscriber('two@u35.example', 'u35-customer', 'demo-secret', null);
select world.ring_group('u35-sales', 'u35-customer', 'serial', '{one@u35.example,two@u35.example}', member_s => 5, skip_busy => true);
select world.number('886352000001', 'u35-customer', 'group:u35-sales');
