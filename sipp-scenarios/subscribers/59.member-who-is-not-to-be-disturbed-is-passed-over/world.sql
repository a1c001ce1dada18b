select world.chain('u59', '88659');
select world.subscriber('one@u59.example', 'u59-customer', 'demo-secret', null);
select world.subscriber('two@u59.example', 'u59-customer', 'demo-secret', null);
select world.subscriber('mobile@u59.example', 'u59-customer', 'demo-secret', null);
select world.subscriber_option('one@u59.example', 'dnd', 'true');
select world.forward('one@u59.example', 'always', 'mobile@u59.example');
select world.ring_group('u59-sales', 'u59-customer', 'serial', '{one@u59.example,two@u59.example}', member_s => 5);
select world.number('886592000001', 'u59-customer', 'group:u59-sales');
